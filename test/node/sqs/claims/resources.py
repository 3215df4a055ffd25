# The resources of boto3: queues and messages as objects.
import json

import boto3

from claims.support import (
    NO_QUEUE,
    arn_of,
    equal,
    fresh_name,
    fresh_pair,
    fresh_queue,
    md5,
    refused,
    sqs,
    text,
    with_defaults,
)

resource = boto3.resource(**with_defaults({}))


def resource_queue(**attributes):
    return resource.Queue(fresh_queue(**attributes))


def test_a_queue_object_sends_and_its_messages_delete_themselves():
    queue = resource_queue()
    sent = queue.send_message(MessageBody="hello", MessageAttributes={"Author": text("Daniel")})
    equal(sent["MD5OfMessageBody"], md5("hello"))
    (message,) = queue.receive_messages(MessageAttributeNames=["Author"], AttributeNames=["All"])
    equal((message.body, message.message_id), ("hello", sent["MessageId"]))
    equal(message.md5_of_body, md5("hello"))
    equal(message.message_attributes, {"Author": text("Daniel")})
    equal(message.attributes["ApproximateReceiveCount"], "1")
    message.change_visibility(VisibilityTimeout=0)
    (again,) = queue.receive_messages()
    again.delete()
    equal(queue.receive_messages(), [])


def test_a_queue_object_sends_and_deletes_in_batches():
    queue = resource_queue()
    queue.send_messages(Entries=[{"Id": str(i), "MessageBody": str(i)} for i in range(3)])
    messages = queue.receive_messages(MaxNumberOfMessages=10)
    equal(sorted(message.body for message in messages), ["0", "1", "2"])
    entries = [{"Id": message.body, "ReceiptHandle": message.receipt_handle} for message in messages]
    queue.change_message_visibility_batch(Entries=[{**entry, "VisibilityTimeout": 60} for entry in entries])
    answer = queue.delete_messages(Entries=entries)
    equal(len(answer["Successful"]), 3)


def test_a_queue_object_is_made_and_found_by_name():
    name = fresh_name()
    queue = resource.create_queue(QueueName=name, Attributes={"DelaySeconds": "5"})
    equal(resource.get_queue_by_name(QueueName=name).url, queue.url)
    equal([found.url for found in resource.queues.filter(QueueNamePrefix=name)], [queue.url])
    queue.delete()
    refused(NO_QUEUE, resource.get_queue_by_name, QueueName=name)


def test_a_queue_object_has_attributes():
    queue = resource_queue(DelaySeconds="5")
    equal((queue.attributes["DelaySeconds"], queue.attributes["QueueArn"]), ("5", arn_of(queue.url)))
    queue.set_attributes(Attributes={"DelaySeconds": "6"})
    queue.reload()
    equal(queue.attributes["DelaySeconds"], "6")


def test_a_queue_object_is_purged():
    queue = resource_queue()
    queue.send_message(MessageBody="x")
    queue.purge()
    equal(queue.receive_messages(), [])


def test_a_queue_object_is_shared():
    queue = resource_queue()
    queue.add_permission(Label="share", AWSAccountIds=["123456789012"], Actions=["SendMessage"])
    queue.load()
    equal(json.loads(queue.attributes["Policy"])["Statement"][0]["Sid"], "share")
    queue.remove_permission(Label="share")


def test_a_queue_object_knows_whose_dead_letters_it_has():
    source, dead = fresh_pair()
    found = resource.Queue(dead).dead_letter_source_queues.all()
    equal([queue.url for queue in found], [source])


def test_a_message_object_is_made_of_a_handle():
    queue = resource_queue()
    queue.send_message(MessageBody="x")
    handle = sqs.receive_message(QueueUrl=queue.url)["Messages"][0]["ReceiptHandle"]
    resource.Message(queue.url, handle).delete()
    queue.reload()
    equal(queue.attributes["ApproximateNumberOfMessagesNotVisible"], "0")
