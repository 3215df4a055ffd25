# What claims have in common: clients, queues that nobody else has, checksums made here, and how a call was
# refused.
import hashlib
import itertools
import json
import os
import struct

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

URL = os.environ["MILLRACE_URL"]
REGION = "eu-central-1"
ACCOUNT = "000000000000"

# A call is made once, so that what is refused is seen. The connections are those of all claims that run at a
# time.
CONFIG = Config(retries={"total_max_attempts": 1}, max_pool_connections=64, read_timeout=100)


def client(**options):
    return boto3.client(**with_defaults(options))


def with_defaults(options):
    return {
        "service_name": "sqs",
        "endpoint_url": URL,
        "region_name": REGION,
        "config": CONFIG,
        **options,
    }


sqs = client()
numbers = itertools.count(1)


def fresh_name(suffix=""):
    return f"boto3-{os.getpid()}-{next(numbers)}{suffix}"


def fresh_queue(**attributes):
    suffix = ".fifo" if attributes.get("FifoQueue") == "true" else ""
    return sqs.create_queue(QueueName=fresh_name(suffix), Attributes=attributes)["QueueUrl"]


def fresh_fifo(**attributes):
    return fresh_queue(FifoQueue="true", **attributes)


def fresh_pair(receives=1, **attributes):
    """A queue, and where its messages go that were received too often."""
    fifo = {name: value for name, value in attributes.items() if name == "FifoQueue"}
    dead = fresh_queue(**fifo)
    policy = json.dumps({"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": receives})
    return fresh_queue(RedrivePolicy=policy, **attributes), dead


def name_of(url):
    return url.rsplit("/", 1)[-1]


def arn_of(url):
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name_of(url)}"


def attributes_of(url, *names):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names)).get("Attributes", {})


def send(url, *bodies, **options):
    return [sqs.send_message(QueueUrl=url, MessageBody=body, **options) for body in bodies]


def send_grouped(url, *bodies):
    """Into a FIFO queue: what stands before the first hyphen is the group."""
    return [
        sqs.send_message(
            QueueUrl=url,
            MessageBody=body,
            MessageGroupId=body.split("-")[0],
            MessageDeduplicationId=body,
        )
        for body in bodies
    ]


def receive(url, **options):
    """What is there now."""
    options.setdefault("MaxNumberOfMessages", 10)
    return sqs.receive_message(QueueUrl=url, **options).get("Messages", [])


def arrive(url, count=1, **options):
    """The next ones, however long they take to come."""
    found = []
    while len(found) < count:
        wanted = min(10, count - len(found))
        found += receive(url, MaxNumberOfMessages=wanted, WaitTimeSeconds=20, **options)
    return found


def bodies(messages):
    return [message["Body"] for message in messages]


def delete(url, *messages):
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def equal(actual, expected):
    assert actual == expected, f"\n  expected {expected!r}\n  but got  {actual!r}"


def refused(code, call, *args, status=400, **options):
    """Calls what must be refused so. Gives what was told."""
    try:
        answer = call(*args, **options)
    except ClientError as error:
        told = error.response["Error"]
        told_status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        equal((told["Code"], told_status), (code, status))
        return error
    raise AssertionError(f"{code} was expected, but it was answered {answer!r}")


def message_of(error):
    return error.response["Error"]["Message"]


def invalid(call, *args, **options):
    return message_of(refused("InvalidParameterValue", call, *args, **options))


def missing(parameter, call, *args, **options):
    error = refused("MissingParameter", call, *args, **options)
    equal(message_of(error), f"The request must contain the parameter {parameter}.")


NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def md5_of_attributes(attributes):
    """As AWS documents it: of lengths, names, types and values, in the order of names."""
    digest = hashlib.md5()
    for name in sorted(attributes):
        value = attributes[name]
        data = value.get("BinaryValue")
        is_binary = data is not None
        content = data if is_binary else value["StringValue"].encode()
        for part in (name.encode(), value["DataType"].encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        digest.update(b"\x02" if is_binary else b"\x01")
        digest.update(struct.pack(">I", len(content)) + content)
    return digest.hexdigest()


def text(value, kind="String"):
    return {"DataType": kind, "StringValue": value}


def binary(value, kind="Binary"):
    return {"DataType": kind, "BinaryValue": value}
