# FIFO queues: order, groups that wait for what is in flight, and duplicates.
import hashlib

from claims.support import (
    arrive,
    attributes_of,
    bodies,
    delete,
    equal,
    fresh_fifo,
    invalid,
    missing,
    receive,
    send_grouped,
    sqs,
    text,
)


def send(url, body="x", group="g", **options):
    return sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group, **options)


def free(url, message):
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)


def drain(url):
    """Everything, each message deleted as it comes."""
    found = []
    while messages := receive(url):
        delete(url, *messages)
        found += bodies(messages)
    return found


def test_a_group_is_kept_in_order():
    url = fresh_fifo()
    sent = [f"{group}-{i}" for i in range(8) for group in "abc"]
    send_grouped(url, *sent)
    got = drain(url)
    for group in "abc":
        equal([body for body in got if body[0] == group], [f"{group}-{i}" for i in range(8)])


def test_sequence_numbers_rise():
    url = fresh_fifo()
    sent = send_grouped(url, "a-1", "b-1", "a-2")
    numbers = [one["SequenceNumber"] for one in sent]
    equal([len(number) for number in numbers], [20, 20, 20])
    equal(sorted(set(numbers)), numbers)
    got = receive(url, AttributeNames=["SequenceNumber"])
    equal(sorted(message["Attributes"]["SequenceNumber"] for message in got), numbers)


def test_a_fifo_message_tells_its_ids():
    url = fresh_fifo()
    send(url, group="the.group", MessageDeduplicationId="the-id")
    (got,) = receive(url, AttributeNames=["All"])
    attributes = got["Attributes"]
    equal((attributes["MessageGroupId"], attributes["MessageDeduplicationId"]), ("the.group", "the-id"))


def test_a_group_waits_until_all_that_is_in_flight_is_deleted():
    url = fresh_fifo()
    send_grouped(url, "a-1", "a-2", "a-3")
    first, second = receive(url, MaxNumberOfMessages=2)
    equal(bodies([first, second]), ["a-1", "a-2"])
    send_grouped(url, "a-4")
    equal(receive(url), [])
    delete(url, first)
    equal(receive(url), [])
    delete(url, second)
    equal(bodies(receive(url)), ["a-3", "a-4"])


def test_groups_do_not_wait_for_one_another():
    url = fresh_fifo()
    send_grouped(url, "a-1", "a-2", "b-1")
    equal(bodies(receive(url, MaxNumberOfMessages=1)), ["a-1"])
    equal(bodies(receive(url)), ["b-1"])


def test_what_is_given_back_comes_again_in_order():
    url = fresh_fifo()
    send_grouped(url, "a-1", "a-2", "a-3")
    got = receive(url)
    equal(bodies(got), ["a-1", "a-2", "a-3"])
    for message in reversed(got):
        free(url, message)
    equal(bodies(receive(url)), ["a-1", "a-2", "a-3"])


def test_what_timed_out_comes_again_in_order():
    url = fresh_fifo(VisibilityTimeout="1")
    send_grouped(url, "a-1", "a-2", "a-3")
    equal(bodies(receive(url)), ["a-1", "a-2", "a-3"])
    equal(bodies(arrive(url, 3)), ["a-1", "a-2", "a-3"])


def test_only_what_is_out_is_not_visible():
    url = fresh_fifo()
    send_grouped(url, "a-1", "a-2", "a-3")
    receive(url, MaxNumberOfMessages=1)
    name = "ApproximateNumberOfMessagesNotVisible"
    equal(attributes_of(url, name), {name: "1"})


def test_an_expired_handle_of_a_fifo_queue_does_not_delete():
    url = fresh_fifo()
    send_grouped(url, "a-1")
    (got,) = receive(url, VisibilityTimeout=0)
    told = invalid(delete, url, got)
    reason = "The receipt handle has expired."
    equal(told, f"Value {got['ReceiptHandle']} for parameter ReceiptHandle is invalid. Reason: {reason}")
    equal(bodies(receive(url)), ["a-1"])


def test_a_group_and_an_id_are_required():
    url = fresh_fifo()
    missing("MessageGroupId", sqs.send_message, QueueUrl=url, MessageBody="x", MessageDeduplicationId="d")
    told = invalid(send, url)
    equal(
        told,
        "The queue should either have ContentBasedDeduplication enabled or "
        "MessageDeduplicationId provided explicitly",
    )


def test_ids_are_of_128_printable_characters():
    url = fresh_fifo()
    most = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".ljust(128, "9")
    send(url, group=most, MessageDeduplicationId=most)
    for bad in ("", "a b", "é", most + "9"):
        invalid(send, url, group=bad, MessageDeduplicationId="d")
        invalid(send, url, MessageDeduplicationId=bad)
    equal(len(receive(url)), 1)


def test_a_duplicate_is_answered_as_the_first_and_not_kept():
    url = fresh_fifo()
    first = send(url, "first", MessageDeduplicationId="d")
    second = send(url, "second", MessageDeduplicationId="d")
    for name in ("MessageId", "SequenceNumber"):
        equal(second[name], first[name])
    assert first["MD5OfMessageBody"] != second["MD5OfMessageBody"]
    equal(bodies(receive(url)), ["first"])


def test_a_duplicate_is_known_after_the_first_was_deleted():
    url = fresh_fifo()
    send(url, MessageDeduplicationId="d")
    delete(url, *receive(url))
    send(url, MessageDeduplicationId="d")
    equal(receive(url), [])


def test_duplicates_are_known_across_groups():
    url = fresh_fifo()
    send(url, group="a", MessageDeduplicationId="d")
    send(url, group="b", MessageDeduplicationId="d")
    equal(len(receive(url)), 1)


def test_duplicates_may_be_those_of_a_group():
    url = fresh_fifo(DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    for group in "aab":
        send(url, group=group, MessageDeduplicationId="d")
    got = receive(url, AttributeNames=["All"])
    equal(sorted(message["Attributes"]["MessageGroupId"] for message in got), ["a", "b"])


def test_duplicates_may_be_told_by_their_bodies():
    url = fresh_fifo(ContentBasedDeduplication="true")
    first = send(url, "same")
    second = send(url, "same", MessageAttributes={"a": text("attributes do not count")})
    equal(second["MessageId"], first["MessageId"])
    send(url, "other")
    got = receive(url, AttributeNames=["All"])
    equal(bodies(got), ["same", "other"])
    equal(
        [message["Attributes"]["MessageDeduplicationId"] for message in got],
        [hashlib.sha256(body).hexdigest() for body in (b"same", b"other")],
    )


def test_an_id_stands_over_the_body():
    url = fresh_fifo(ContentBasedDeduplication="true")
    send(url, "same", MessageDeduplicationId="1")
    send(url, "same", MessageDeduplicationId="2")
    equal(bodies(receive(url)), ["same", "same"])


def test_a_queue_may_begin_to_tell_duplicates_by_their_bodies():
    url = fresh_fifo()
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"ContentBasedDeduplication": "true"})
    send(url)
    send(url)
    equal(len(receive(url)), 1)


def test_duplicates_in_one_batch_are_one_message():
    url = fresh_fifo()
    entries = [
        {"Id": key, "MessageBody": key, "MessageGroupId": "g", "MessageDeduplicationId": key[0]}
        for key in ("a1", "a2", "b1")
    ]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]
    equal(sent[0]["MessageId"], sent[1]["MessageId"])
    equal(bodies(receive(url)), ["a1", "b1"])


def test_a_purge_forgets_ids():
    url = fresh_fifo()
    send(url, "before", MessageDeduplicationId="d")
    sqs.purge_queue(QueueUrl=url)
    send(url, "after", MessageDeduplicationId="d")
    equal(bodies(receive(url)), ["after"])


def test_a_receive_is_repeated_by_its_attempt_id():
    url = fresh_fifo()
    send_grouped(url, "a-1", "a-2")
    first = receive(url, ReceiveRequestAttemptId="attempt")
    again = receive(url, ReceiveRequestAttemptId="attempt")
    equal(bodies(first), ["a-1", "a-2"])
    equal([message["ReceiptHandle"] for message in again], [message["ReceiptHandle"] for message in first])
    equal(receive(url, ReceiveRequestAttemptId="another"), [])


def test_a_message_of_a_fifo_queue_has_no_delay_of_its_own():
    url = fresh_fifo()
    told = invalid(send, url, MessageDeduplicationId="d", DelaySeconds=2)
    reason = "The request include parameter that is not valid for this queue type."
    equal(told, f"Value 2 for parameter DelaySeconds is invalid. Reason: {reason}")
    send(url, MessageDeduplicationId="d", DelaySeconds=0)
    equal(len(receive(url)), 1)


def test_a_fifo_queue_may_delay_all_of_its_messages():
    url = fresh_fifo(DelaySeconds="1")
    send_grouped(url, "a-1")
    send(url, "a-2", group="a", MessageDeduplicationId="d", DelaySeconds=0)
    for expected in ("a-1", "a-2"):
        (got,) = arrive(url)
        equal(got["Body"], expected)
        delete(url, got)
