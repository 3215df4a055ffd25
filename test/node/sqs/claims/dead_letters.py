# Dead-letter queues, and the tasks that move what is in them. Debian's boto3 does not know the tasks: they
# are asked for by hand.
import base64
import json

from claims.signed_requests import ask, ask_refused
from claims.support import (
    arn_of,
    arrive,
    attributes_of,
    bodies,
    delete,
    equal,
    fresh_fifo,
    fresh_pair,
    fresh_queue,
    invalid,
    md5_of_attributes,
    receive,
    send,
    send_grouped,
    sqs,
    text,
)


def policy_of(dead, receives):
    return json.dumps({"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": receives})


def make_dead(source, *texts):
    """Sends to a queue whose messages are dead after one receive, and receives."""
    send(source, *texts)
    receive(source, VisibilityTimeout=0)
    equal(receive(source), [])


def start(source, **parameters):
    return ask("StartMessageMoveTask", SourceArn=arn_of(source), **parameters).text("TaskHandle")


def tasks(source, count=1):
    """The newest first, each as a dictionary."""
    reply = ask("ListMessageMoveTasks", SourceArn=arn_of(source), MaxResults=count)
    return reply.structures("ListMessageMoveTasksResultEntry")


def end_of(source):
    """The task of a queue once it runs no more."""
    while True:
        (task,) = tasks(source)
        if task["Status"] != "RUNNING":
            return task


def test_a_message_is_dead_after_its_last_receive():
    source, dead = fresh_pair(receives=2)
    send(source, "twice")
    for _ in range(2):
        equal(bodies(receive(source, VisibilityTimeout=0)), ["twice"])
    equal(receive(source), [])
    equal(bodies(arrive(dead)), ["twice"])


def test_a_message_dies_of_its_visibility_timeout():
    source, dead = fresh_pair(receives=1, VisibilityTimeout="1")
    send(source, "held too long")
    receive(source)
    equal(bodies(arrive(dead)), ["held too long"])
    equal(receive(source), [])


def test_a_deleted_message_does_not_die():
    source, dead = fresh_pair(receives=1)
    send(source, "done", "given up")
    for message in receive(source):
        if message["Body"] == "done":
            delete(source, message)
        else:
            sqs.change_message_visibility(
                QueueUrl=source, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
    equal(bodies(arrive(dead)), ["given up"])
    equal(receive(dead), [])


def test_a_dead_letter_keeps_what_it_was():
    source, dead = fresh_pair(receives=1)
    attributes = {"color": text("blue")}
    sent = sqs.send_message(
        QueueUrl=source,
        MessageBody="x",
        MessageAttributes=attributes,
        MessageSystemAttributes={"AWSTraceHeader": text("Root=1-2-3")},
    )
    (before,) = receive(source, VisibilityTimeout=0, AttributeNames=["All"])
    equal(receive(source), [])
    (got,) = arrive(dead, AttributeNames=["All"], MessageAttributeNames=["All"])
    equal(got["MessageId"], sent["MessageId"])
    equal(got["MessageAttributes"], attributes)
    equal(got["MD5OfMessageAttributes"], md5_of_attributes(attributes))
    told = got["Attributes"]
    equal(told["SentTimestamp"], before["Attributes"]["SentTimestamp"])
    equal(told["ApproximateReceiveCount"], "2")
    equal(told["AWSTraceHeader"], "Root=1-2-3")
    equal(told["DeadLetterQueueSourceArn"], arn_of(source))


def test_the_rest_of_a_group_goes_on_when_one_is_dead():
    source, dead = fresh_pair(receives=1, FifoQueue="true")
    send_grouped(source, "a-1", "a-2")
    (first,) = receive(source, MaxNumberOfMessages=1, VisibilityTimeout=0)
    equal(bodies(receive(source)), ["a-2"])
    (got,) = arrive(dead, AttributeNames=["All"])
    equal(got["MessageId"], first["MessageId"])
    equal(got["Attributes"]["MessageGroupId"], "a")
    equal(got["Attributes"]["MessageDeduplicationId"], "a-1")


def test_a_redrive_policy_is_told_in_one_form():
    dead = fresh_queue()
    policy = json.dumps({"maxReceiveCount": "42", "deadLetterTargetArn": arn_of(dead)})
    source = fresh_queue(RedrivePolicy=policy)
    told = '{"deadLetterTargetArn":"%s","maxReceiveCount":42}' % arn_of(dead)
    equal(attributes_of(source, "RedrivePolicy"), {"RedrivePolicy": told})
    sqs.set_queue_attributes(QueueUrl=source, Attributes={"RedrivePolicy": ""})
    equal(attributes_of(source, "RedrivePolicy"), {})


def test_faulty_redrive_policies_are_refused():
    source, dead, fifo = fresh_queue(), fresh_queue(), fresh_fifo()
    arn = arn_of(dead)

    def told(policy):
        attributes = {"RedrivePolicy": policy if isinstance(policy, str) else json.dumps(policy)}
        reason = invalid(sqs.set_queue_attributes, QueueUrl=source, Attributes=attributes)
        return reason.split(" Reason: ")[1]

    equal(told("no JSON"), "Redrive policy is not a valid JSON map.")
    lacks = "Redrive policy does not contain mandatory attribute: "
    equal(told({"deadLetterTargetArn": arn}), f"{lacks}maxReceiveCount.")
    equal(told({"maxReceiveCount": 1}), f"{lacks}deadLetterTargetArn.")
    for count in (0, 1001):
        equal(
            told({"deadLetterTargetArn": arn, "maxReceiveCount": count}),
            f"Invalid value for maxReceiveCount: {count}, valid values are from 1 to 1000 both inclusive.",
        )
    equal(
        told({"deadLetterTargetArn": "dummy", "maxReceiveCount": 1}),
        "Invalid value for deadLetterTargetArn.",
    )
    equal(
        told({"deadLetterTargetArn": f"{arn}-none", "maxReceiveCount": 1}),
        "Dead letter target does not exist.",
    )
    equal(
        told({"deadLetterTargetArn": arn_of(fifo), "maxReceiveCount": 1}),
        "Dead-letter queue must be same type of queue as the source..",
    )
    equal(attributes_of(source, "RedrivePolicy"), {})


def test_a_dead_letter_queue_may_choose_its_sources():
    chosen, other, dead = fresh_queue(), fresh_queue(), fresh_queue()
    policy = {"redrivePermission": "byQueue", "sourceQueueArns": [arn_of(chosen)]}
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(policy)})
    told = attributes_of(dead, "RedriveAllowPolicy")["RedriveAllowPolicy"]
    equal(json.loads(told), policy)
    redrive = {"RedrivePolicy": policy_of(dead, 1)}
    sqs.set_queue_attributes(QueueUrl=chosen, Attributes=redrive)
    invalid(sqs.set_queue_attributes, QueueUrl=other, Attributes=redrive)
    deny = '{"redrivePermission":"denyAll"}'
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": deny})
    invalid(sqs.set_queue_attributes, QueueUrl=chosen, Attributes=redrive)


def test_faulty_allow_policies_are_refused():
    dead = fresh_queue()
    for policy in (
        "no JSON",
        '{"redrivePermission":"some"}',
        '{"redrivePermission":"byQueue"}',
        '{"redrivePermission":"denyAll","sourceQueueArns":["%s"]}' % arn_of(dead),
        json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [arn_of(dead)] * 11}),
    ):
        invalid(sqs.set_queue_attributes, QueueUrl=dead, Attributes={"RedriveAllowPolicy": policy})


def test_the_sources_of_a_dead_letter_queue_are_listed():
    dead = fresh_queue()
    equal(sqs.list_dead_letter_source_queues(QueueUrl=dead).get("queueUrls", []), [])
    sources = sorted(fresh_queue(RedrivePolicy=policy_of(dead, 1)) for _ in range(3))
    equal(sorted(sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"]), sources)
    pages = sqs.get_paginator("list_dead_letter_source_queues").paginate(
        QueueUrl=dead, PaginationConfig={"PageSize": 2}
    )
    found = [page["queueUrls"] for page in pages]
    equal([len(page) for page in found], [2, 1])
    equal(sorted(sum(found, [])), sources)


def test_a_move_task_brings_messages_back_to_their_sources():
    one, dead = fresh_pair()
    other = fresh_queue(RedrivePolicy=policy_of(dead, 1))
    make_dead(one, "of one", "of one, too")
    make_dead(other, "of the other")
    handle = start(dead)
    told = json.loads(base64.b64decode(handle))
    equal(told["sourceArn"], arn_of(dead))
    equal(sorted(bodies(arrive(one, 2))), ["of one", "of one, too"])
    equal(bodies(arrive(other)), ["of the other"])
    task = end_of(dead)
    equal(task["Status"], "COMPLETED")
    equal(task["SourceArn"], arn_of(dead))
    equal(task["ApproximateNumberOfMessagesMoved"], "3")
    equal(len(task["StartedTimestamp"]), len("1700000000000"))
    equal({"TaskHandle", "DestinationArn", "MaxNumberOfMessagesPerSecond"} & set(task), set())


def test_a_move_task_may_have_a_destination():
    source, dead = fresh_pair()
    elsewhere = fresh_queue()
    make_dead(source, "dead")
    send(dead, "sent straight to the dead")
    start(dead, DestinationArn=arn_of(elsewhere))
    equal(sorted(bodies(arrive(elsewhere, 2))), ["dead", "sent straight to the dead"])
    task = end_of(dead)
    equal((task["Status"], task["DestinationArn"]), ("COMPLETED", arn_of(elsewhere)))


def test_a_move_task_is_cancelled_and_what_was_moved_stays():
    source, dead = fresh_pair()
    make_dead(source, *(f"{i}" for i in range(10)))
    handle = start(dead, MaxNumberOfMessagesPerSecond=1)
    arrive(source)
    (running,) = tasks(dead)
    equal((running["Status"], running["TaskHandle"]), ("RUNNING", handle))
    equal(running["MaxNumberOfMessagesPerSecond"], "1")
    ask_refused("InvalidParameterValue", "StartMessageMoveTask", SourceArn=arn_of(dead))
    moved = int(ask("CancelMessageMoveTask", TaskHandle=handle).text("ApproximateNumberOfMessagesMoved"))
    assert 1 <= moved < 10, moved
    equal(end_of(dead)["Status"], "CANCELLED")
    ask_refused("InvalidParameterValue", "CancelMessageMoveTask", TaskHandle=handle)


def test_move_tasks_are_listed_newest_first():
    source, dead = fresh_pair()
    equal(tasks(dead), [])
    for _ in range(2):
        start(dead)
        end_of(dead)
    start(dead, DestinationArn=arn_of(source))
    end_of(dead)
    equal(["DestinationArn" in task for task in tasks(dead, 10)], [True, False, False])
    equal(len(tasks(dead)), 1)


def test_faulty_move_tasks_are_refused():
    source, dead = fresh_pair()
    unknown = f"{arn_of(dead)}-none"
    ask_refused("MissingParameter", "StartMessageMoveTask")
    ask_refused("ResourceNotFoundException", "StartMessageMoveTask", SourceArn=unknown, status=404)
    ask_refused("InvalidParameterValue", "StartMessageMoveTask", SourceArn="no ARN")
    ask_refused("InvalidParameterValue", "StartMessageMoveTask", SourceArn=arn_of(source))
    for rate in (0, 501):
        ask_refused(
            "InvalidParameterValue",
            "StartMessageMoveTask",
            SourceArn=arn_of(dead),
            MaxNumberOfMessagesPerSecond=rate,
        )
    ask_refused(
        "ResourceNotFoundException",
        "StartMessageMoveTask",
        SourceArn=arn_of(dead),
        DestinationArn=unknown,
        status=404,
    )
    for count in (0, 11):
        ask_refused("InvalidParameterValue", "ListMessageMoveTasks", SourceArn=arn_of(dead), MaxResults=count)


def test_faulty_handles_of_move_tasks_are_refused():
    _, dead = fresh_pair()

    def handle_of(task, arn):
        return base64.b64encode(json.dumps({"taskId": task, "sourceArn": arn}).encode()).decode()

    ask_refused("InvalidParameterValue", "CancelMessageMoveTask", TaskHandle="no handle")
    unknown_task = handle_of("f6b0b6ca-2a9b-4c44-9f1d-2d1f9c1c3e0a", arn_of(dead))
    unknown_queue = handle_of("1", f"{arn_of(dead)}-none")
    for handle in (unknown_task, unknown_queue):
        ask_refused("ResourceNotFoundException", "CancelMessageMoveTask", TaskHandle=handle, status=404)
