# Batches of messages, of deletes and of visibilities: what fails alone, and what fails as a whole.
from claims.support import (
    arrive,
    bodies,
    equal,
    fresh_fifo,
    fresh_queue,
    invalid,
    md5,
    md5_of_attributes,
    message_of,
    receive,
    refused,
    sqs,
    text,
)

MIB = 1024 * 1024


def test_a_batch_tells_of_each_message():
    url = fresh_queue()
    attributes = {"n": text("1", "Number")}
    answer = sqs.send_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "first", "MessageBody": "one"},
            {"Id": "2nd", "MessageBody": "<two>", "MessageAttributes": attributes},
            {"Id": "3-_", "MessageBody": "three", "DelaySeconds": 900},
        ],
    )
    equal([one["Id"] for one in answer["Successful"]], ["first", "2nd", "3-_"])
    equal([one["MD5OfMessageBody"] for one in answer["Successful"]], [md5("one"), md5("<two>"), md5("three")])
    equal(answer["Successful"][1]["MD5OfMessageAttributes"], md5_of_attributes(attributes))
    assert "Failed" not in answer
    ids = {one["MessageId"] for one in answer["Successful"][:2]}
    equal({message["MessageId"] for message in receive(url)}, ids)


def test_in_a_batch_each_message_fails_alone():
    url = fresh_queue(MaximumMessageSize="1024")
    answer = sqs.send_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "good", "MessageBody": "good"},
            {"Id": "control", "MessageBody": "\x01"},
            {"Id": "empty", "MessageBody": ""},
            {"Id": "long", "MessageBody": "x" * 1025},
            {"Id": "late", "MessageBody": "x", "DelaySeconds": 901},
            {"Id": "also-good", "MessageBody": "also good"},
        ],
    )
    equal([one["Id"] for one in answer["Successful"]], ["good", "also-good"])
    equal(
        [(one["Id"], one["Code"], one["SenderFault"]) for one in answer["Failed"]],
        [
            ("control", "InvalidMessageContents", True),
            ("empty", "EmptyValue", True),
            ("long", "InvalidParameterValue", True),
            ("late", "InvalidParameterValue", True),
        ],
    )
    equal(
        answer["Failed"][2]["Message"],
        "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.",
    )
    equal(sorted(bodies(arrive(url, 2))), ["also good", "good"])


def test_a_batch_of_failures_has_no_successes():
    answer = sqs.send_message_batch(
        QueueUrl=fresh_queue(), Entries=[{"Id": "a", "MessageBody": "\0"}, {"Id": "b", "MessageBody": "\0"}]
    )
    equal(len(answer["Failed"]), 2)
    assert "Successful" not in answer


def test_batches_of_messages_have_rules():
    check_batch(
        sqs.send_message_batch,
        "SendMessageBatchRequestEntry",
        lambda identifier: {"Id": identifier, "MessageBody": "x"},
    )


def test_batches_of_deletes_have_rules():
    check_batch(
        sqs.delete_message_batch,
        "DeleteMessageBatchRequestEntry",
        lambda identifier: {"Id": identifier, "ReceiptHandle": "x"},
    )


def test_batches_of_visibilities_have_rules():
    check_batch(
        sqs.change_message_visibility_batch,
        "ChangeMessageVisibilityBatchRequestEntry",
        lambda identifier: {"Id": identifier, "ReceiptHandle": "x", "VisibilityTimeout": 1},
    )


def check_batch(call, entry_name, entry):
    url = fresh_queue()

    def told(error, *identifiers):
        entries = [entry(identifier) for identifier in identifiers]
        code = f"AWS.SimpleQueueService.{error}"
        reason = refused(code, call, QueueUrl=url, Entries=entries)
        assert isinstance(reason, getattr(sqs.exceptions, error))
        return message_of(reason)

    equal(told("EmptyBatchRequest"), f"There should be at least one {entry_name} in the request.")
    equal(
        told("TooManyEntriesInBatchRequest", *(str(i) for i in range(11))),
        "Maximum number of entries per request are 10. You have sent 11.",
    )
    equal(told("BatchEntryIdsNotDistinct", "a", "b", "a"), "Id a repeated.")
    for identifier in ("", "x" * 81, "invalid:id", "with space", "é"):
        told("InvalidBatchEntryId", "good", identifier)


def test_a_batch_may_have_a_mebibyte_and_no_byte_more():
    url = fresh_queue()
    half = "x" * (MIB // 2)
    entries = [{"Id": "a", "MessageBody": half}, {"Id": "b", "MessageBody": half}]
    equal(len(sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]), 2)
    entries[1]["MessageBody"] += "x"
    error = refused(
        "AWS.SimpleQueueService.BatchRequestTooLong",
        sqs.send_message_batch,
        QueueUrl=url,
        Entries=entries,
    )
    assert isinstance(error, sqs.exceptions.BatchRequestTooLong)
    equal(
        message_of(error),
        f"Batch requests cannot be longer than {MIB} bytes. You have sent {MIB + 1} bytes.",
    )


def test_one_entry_over_a_mebibyte_is_the_end_of_its_batch():
    url = fresh_queue()
    entries = [{"Id": "a", "MessageBody": "x"}, {"Id": "b", "MessageBody": "x" * (MIB + 1)}]
    code = "AWS.SimpleQueueService.BatchRequestTooLong"
    refused(code, sqs.send_message_batch, QueueUrl=url, Entries=entries)
    equal(receive(url), [])


def test_a_fifo_batch_that_lacks_ids_is_refused_as_a_whole():
    url = fresh_fifo()
    good = {"Id": "a", "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    for lacking in ("MessageGroupId", "MessageDeduplicationId"):
        bad = {name: value for name, value in good.items() if name != lacking}
        invalid(sqs.send_message_batch, QueueUrl=url, Entries=[good, {**bad, "Id": "b"}])
    equal(receive(url), [])
