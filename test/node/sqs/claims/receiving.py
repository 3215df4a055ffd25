# Receiving: long polls, visibility, and what receipt handles are good for.
from concurrent.futures import ThreadPoolExecutor

from claims.support import (
    arrive,
    attributes_of,
    bodies,
    delete,
    equal,
    fresh_queue,
    invalid,
    message_of,
    receive,
    refused,
    send,
    sqs,
)

COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


def counts_of(url):
    return tuple(attributes_of(url, *COUNTS)[name] for name in COUNTS)


def change(url, message, seconds):
    sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
    )


def receive_count(message):
    return message["Attributes"]["ApproximateReceiveCount"]


def test_an_empty_queue_answers_without_messages():
    answer = sqs.receive_message(QueueUrl=fresh_queue())
    equal(set(answer), {"ResponseMetadata"})


def test_one_message_comes_unless_more_are_asked_for():
    url = fresh_queue()
    send(url, *"abcdefghijkl")
    equal(len(sqs.receive_message(QueueUrl=url)["Messages"]), 1)
    equal(len(receive(url, MaxNumberOfMessages=10)), 10)
    equal(len(receive(url, MaxNumberOfMessages=10)), 1)


def test_the_numbers_of_a_receive_have_limits():
    url = fresh_queue()
    for name, values, reason in (
        ("MaxNumberOfMessages", (0, 11), "Must be between 1 and 10, if provided."),
        ("WaitTimeSeconds", (-1, 21), "Must be >= 0 and <= 20, if provided."),
        ("VisibilityTimeout", (-1, 43201), "Must be >= 0 and <= 43200, if provided."),
    ):
        for value in values:
            told = invalid(sqs.receive_message, QueueUrl=url, **{name: value})
            equal(told, f"Value {value} for parameter {name} is invalid. Reason: {reason}")


def test_a_long_poll_ends_with_the_first_message():
    url = fresh_queue()
    with ThreadPoolExecutor() as pool:
        polled = pool.submit(receive, url, WaitTimeSeconds=20)
        send(url, "at last")
        equal(bodies(polled.result()), ["at last"])


def test_a_queue_may_make_every_receive_a_long_poll():
    url = fresh_queue(ReceiveMessageWaitTimeSeconds="20")
    send(url, "in a second", DelaySeconds=1)
    equal(bodies(receive(url)), ["in a second"])


def test_a_receive_may_wait_less_than_its_queue_says():
    url = fresh_queue(ReceiveMessageWaitTimeSeconds="20")
    send(url, "within the wait of the queue", DelaySeconds=15)
    equal(receive(url, WaitTimeSeconds=0), [])


def test_a_received_message_is_hidden_and_counted():
    url = fresh_queue()
    send(url, "a", "b")
    equal(counts_of(url), ("2", "0"))
    (got,) = receive(url, MaxNumberOfMessages=1)
    equal(counts_of(url), ("1", "1"))
    equal(len(receive(url)), 1)
    equal(receive(url), [])
    delete(url, got)
    equal(counts_of(url), ("0", "1"))


def test_a_message_comes_again_when_its_time_is_over():
    url = fresh_queue(VisibilityTimeout="1")
    (sent,) = send(url, "again")
    (first,) = receive(url, AttributeNames=["All"])
    (second,) = arrive(url, AttributeNames=["All"])
    equal(second["MessageId"], sent["MessageId"])
    equal((receive_count(first), receive_count(second)), ("1", "2"))
    assert first["ReceiptHandle"] != second["ReceiptHandle"]
    equal(
        first["Attributes"]["ApproximateFirstReceiveTimestamp"],
        second["Attributes"]["ApproximateFirstReceiveTimestamp"],
    )


def test_a_receive_may_hide_nothing():
    url = fresh_queue()
    send(url, "x")
    for count in "123":
        (got,) = receive(url, VisibilityTimeout=0, AttributeNames=["All"])
        equal(receive_count(got), count)


def test_a_visibility_of_zero_gives_a_message_back():
    url = fresh_queue()
    send(url, "x")
    (got,) = receive(url)
    change(url, got, 0)
    (again,) = receive(url, AttributeNames=["All"])
    equal(receive_count(again), "2")


def test_a_changed_visibility_keeps_a_message_hidden():
    url = fresh_queue()
    send(url, "kept", "given up")
    for message in receive(url, VisibilityTimeout=1):
        if message["Body"] == "kept":
            change(url, message, 600)
    equal(bodies(arrive(url)), ["given up"])
    equal(receive(url), [])


def test_a_changed_visibility_is_that_of_one_receive():
    url = fresh_queue(VisibilityTimeout="1")
    send(url, "x")
    (first,) = receive(url, VisibilityTimeout=600)
    change(url, first, 1)
    arrive(url)
    arrive(url)


def test_an_older_handle_changes_the_visibility_of_what_was_received_again():
    url = fresh_queue(VisibilityTimeout="0")
    send(url, "x")
    (older,) = receive(url)
    receive(url, VisibilityTimeout=600)
    change(url, older, 900)
    equal(receive(url), [])
    change(url, older, 0)
    equal(bodies(receive(url)), ["x"])


def test_a_deleted_message_stays_away():
    url = fresh_queue(VisibilityTimeout="1")
    send(url, "deleted")
    delete(url, *receive(url))
    send(url, "other")
    arrive(url)
    equal(bodies(arrive(url)), ["other"])


def test_deleting_twice_is_no_error():
    url = fresh_queue()
    send(url, "x")
    (got,) = receive(url)
    delete(url, got, got)


def test_an_expired_handle_still_deletes():
    url = fresh_queue()
    send(url, "x")
    (got,) = receive(url, VisibilityTimeout=0)
    delete(url, got)
    equal(receive(url), [])


def test_an_expired_handle_hides_again():
    url = fresh_queue()
    send(url, "x")
    (got,) = receive(url, VisibilityTimeout=0)
    change(url, got, 600)
    equal(receive(url), [])


def test_a_deleted_message_has_no_visibility_to_change():
    url = fresh_queue()
    send(url, "x")
    (got,) = receive(url)
    delete(url, got)
    told = invalid(change, url, got, 10)
    reason = "Message does not exist or is not available for visibility timeout change."
    equal(told, f"Value {got['ReceiptHandle']} for parameter ReceiptHandle is invalid. Reason: {reason}")


def test_visibilities_have_limits():
    url = fresh_queue()
    send(url, "x")
    (got,) = receive(url)
    for seconds in (-1, 43201):
        invalid(change, url, got, seconds)


def test_what_is_no_handle_is_refused():
    url, other = fresh_queue(), fresh_queue()
    send(other, "x")
    (foreign,) = receive(other)
    for handle in ("garbage", "eA==", "<&>\r", foreign["ReceiptHandle"]):
        message = {"ReceiptHandle": handle}
        for call in (lambda: delete(url, message), lambda: change(url, message, 10)):
            error = refused("ReceiptHandleIsInvalid", call, status=404)
            assert isinstance(error, sqs.exceptions.ReceiptHandleIsInvalid)
            equal(message_of(error), f'The input receipt handle "{handle}" is not a valid receipt handle.')


def test_a_batch_deletes_what_it_can():
    url = fresh_queue()
    send(url, "a", "b")
    first, second = receive(url)
    answer = sqs.delete_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "first", "ReceiptHandle": first["ReceiptHandle"]},
            {"Id": "garbage", "ReceiptHandle": "garbage"},
            {"Id": "second", "ReceiptHandle": second["ReceiptHandle"]},
        ],
    )
    equal([one["Id"] for one in answer["Successful"]], ["first", "second"])
    (failed,) = answer["Failed"]
    equal((failed["Id"], failed["Code"], failed["SenderFault"]), ("garbage", "ReceiptHandleIsInvalid", True))
    equal(counts_of(url), ("0", "0"))


def test_a_batch_changes_the_visibility_it_can():
    url = fresh_queue()
    send(url, "kept", "freed")
    handles = {message["Body"]: message["ReceiptHandle"] for message in receive(url)}
    answer = sqs.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "freed", "ReceiptHandle": handles["freed"], "VisibilityTimeout": 0},
            {"Id": "far", "ReceiptHandle": handles["kept"], "VisibilityTimeout": 43201},
            {"Id": "garbage", "ReceiptHandle": "garbage", "VisibilityTimeout": 1},
        ],
    )
    equal([one["Id"] for one in answer["Successful"]], ["freed"])
    equal(
        [(one["Id"], one["Code"]) for one in answer["Failed"]],
        [("far", "InvalidParameterValue"), ("garbage", "ReceiptHandleIsInvalid")],
    )
    equal(bodies(receive(url)), ["freed"])
