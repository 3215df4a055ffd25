# Messages: what they carry, what is refused, and checksums that are made here a second time.
import string

from claims.support import (
    arrive,
    attributes_of,
    binary,
    bodies,
    equal,
    fresh_queue,
    invalid,
    md5,
    md5_of_attributes,
    missing,
    receive,
    refused,
    send,
    sqs,
    text,
)

KIB = 1024
MIB = KIB * KIB
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def send_with(attributes, url=None, **options):
    return sqs.send_message(
        QueueUrl=url or fresh_queue(), MessageBody="x", MessageAttributes=attributes, **options
    )


def test_a_message_arrives_with_its_checksum():
    url = fresh_queue()
    sent = sqs.send_message(QueueUrl=url, MessageBody="message")
    equal(sent["MD5OfMessageBody"], "78e731027d8fd50ed642340b7c9a63b3")
    (got,) = receive(url)
    equal(got["Body"], "message")
    equal(got["MessageId"], sent["MessageId"])
    equal(got["MD5OfBody"], sent["MD5OfMessageBody"])
    equal(set(got), {"Body", "MD5OfBody", "MessageId", "ReceiptHandle"})


def test_bodies_come_out_of_xml_as_they_went_in():
    url = fresh_queue()
    texts = [
        "\r",
        "a\r\nb\rc\n",
        "\t tab and space \t",
        "\"quoted\" and 'single'",
        "&quot; &amp; &#13; &#xD; &lt;",
        "<a href='x'>&</a>",
        "]]> <![CDATA[x]]> <!-- x -->",
        "smile \U0001f600 clef \U0001d11e",
        "\ufffd \ue000 \ud7ff \U0010ffff",
        "\u00a0\u0085\u2028\u200b\ufeff",
        "a=b&c=d%20e+f;g",
        '{"json": "\\u0000", "n": [1, 2]}',
    ]
    for body in texts:
        sent = sqs.send_message(QueueUrl=url, MessageBody=body)
        equal((body, sent["MD5OfMessageBody"]), (body, md5(body)))
    got = arrive(url, len(texts))
    equal(sorted(bodies(got)), sorted(texts))
    for message in got:
        equal(message["MD5OfBody"], md5(message["Body"]))


def test_attributes_come_out_of_xml_as_they_went_in():
    url = fresh_queue()
    attributes = {
        "quotes": text('"<&quot;>"\r\n\t'),
        "emoji": text("\U0001f600", "String.smile"),
        "number": text("-1.50e+3", "Number.float"),
        "every.byte": binary(bytes(range(256)), "Binary.png"),
        "straße": text("é"),
    }
    sent = send_with(attributes, url)
    equal(sent["MD5OfMessageAttributes"], md5_of_attributes(attributes))
    (got,) = receive(url, MessageAttributeNames=["All"])
    equal(got["MessageAttributes"], attributes)
    equal(got["MD5OfMessageAttributes"], md5_of_attributes(attributes))


def test_checksums_of_attributes_are_those_of_aws():
    url = fresh_queue()
    trace = b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01"
    for attributes, checksum in (
        ({"Hello": text("There")}, "a311262e065454b75da111d535b8dacd"),
        ({"Hello": text("There"), "General": text("Kenobi")}, "fca026605781cb4126a1e9044df24232"),
        ({"timestamp": text("1493147359900", "Number")}, "235c5c510d26fb653d073faed50ae77c"),
        ({"attr1": binary(trace)}, "8cbe4db156db8a94db8b801b7addb984"),
        (
            {"color": text("blue"), "count": text("3", "Number"), "blob": binary(b"\x01\x02\x03")},
            "d838729972a4b70e2d2acd9d59ac847c",
        ),
    ):
        equal(send_with(attributes, url)["MD5OfMessageAttributes"], checksum)


def test_attributes_that_were_not_asked_for_stay_away():
    url = fresh_queue()
    send_with({"a": text("b")}, url)
    (got,) = receive(url)
    equal({"MessageAttributes", "MD5OfMessageAttributes"} & set(got), set())


def test_attributes_are_chosen_by_name_and_prefix():
    url = fresh_queue()
    attributes = {"Hello": text("There"), "General": text("Kenobi"), "Help.Me": text("Me")}
    send_with(attributes, url)

    def names(*wanted):
        (got,) = receive(url, MessageAttributeNames=list(wanted), VisibilityTimeout=0)
        chosen = got.get("MessageAttributes", {})
        checksum = md5_of_attributes(chosen) if chosen else None
        equal(got.get("MD5OfMessageAttributes"), checksum)
        return set(chosen)

    equal(names("All"), set(attributes))
    equal(names(".*"), set(attributes))
    equal(names("*"), set(attributes))
    equal(names("Hel.*"), {"Hello", "Help.Me"})
    equal(names("General", "Nobody"), {"General"})
    equal(names("Nobody", "..foo", "AWS."), set())


def test_a_standard_message_tells_four_system_attributes():
    url = fresh_queue()
    send(url, "x")
    (got,) = receive(url, AttributeNames=["All"])
    equal(
        set(got["Attributes"]),
        {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"},
    )
    equal(got["Attributes"]["ApproximateReceiveCount"], "1")
    for name in ("SentTimestamp", "ApproximateFirstReceiveTimestamp"):
        equal(len(got["Attributes"][name]), len("1700000000000"))


def test_system_attributes_are_told_by_name():
    url = fresh_queue()
    send(url, "x")
    (got,) = receive(url, AttributeNames=["SentTimestamp", "SequenceNumber"])
    equal(set(got["Attributes"]), {"SentTimestamp"})
    refused("InvalidAttributeName", receive, url, AttributeNames=["Weather"])


def test_a_trace_header_goes_along():
    url = fresh_queue()
    sent = sqs.send_message(
        QueueUrl=url,
        MessageBody="x",
        MessageAttributes={"Hello": text("There")},
        MessageSystemAttributes={"AWSTraceHeader": text(TRACE)},
    )
    equal(sent["MD5OfMessageSystemAttributes"], "5ae4d5d7636402d80f4eb6d213245a88")
    equal(sent["MD5OfMessageAttributes"], "a311262e065454b75da111d535b8dacd")
    (got,) = receive(url, AttributeNames=["AWSTraceHeader"], MessageAttributeNames=["All"])
    equal(got["Attributes"], {"AWSTraceHeader": TRACE})
    equal(got["MessageAttributes"], {"Hello": text("There")})


def test_there_is_one_system_attribute_to_send():
    told = invalid(
        sqs.send_message,
        QueueUrl=fresh_queue(),
        MessageBody="x",
        MessageSystemAttributes={"Hello": text("x")},
    )
    equal(told, "Message system attribute name 'Hello' is invalid.")


def test_an_empty_body_is_missing():
    missing("MessageBody", sqs.send_message, QueueUrl=fresh_queue(), MessageBody="")


def test_characters_that_xml_lacks_are_refused():
    url = fresh_queue()
    for character in ("\0", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff"):
        error = refused(
            "InvalidMessageContents", sqs.send_message, QueueUrl=url, MessageBody=f"a{character}b"
        )
        assert isinstance(error, sqs.exceptions.InvalidMessageContents)
    invalid(send_with, {"a": text("\x08")}, url)
    equal(receive(url), [])


def test_a_message_of_the_queues_limit_passes_and_a_byte_more_does_not():
    url = fresh_queue(MaximumMessageSize="1024")
    attributes = {"name": text("\u00e9")}
    room = KIB - len("name") - len("String") - 2
    for options in ({}, {"MessageAttributes": attributes}):
        most = room if options else KIB
        sqs.send_message(QueueUrl=url, MessageBody="x" * most, **options)
        told = invalid(sqs.send_message, QueueUrl=url, MessageBody="x" * (most + 1), **options)
        reason = "Message must be shorter than 1024 bytes."
        equal(told, f"One or more parameters are invalid. Reason: {reason}")


def test_a_message_of_a_mebibyte_arrives_whole():
    url = fresh_queue()
    body = "<&>\r" * (MIB // 4)
    sqs.send_message(QueueUrl=url, MessageBody=body)
    (got,) = receive(url)
    assert got["Body"] == body
    invalid(sqs.send_message, QueueUrl=url, MessageBody=body + "x")


def test_faulty_attributes_are_refused():
    url = fresh_queue()
    for attributes, told in (
        (
            {"a": text("")},
            "Message (user) attribute 'a' must contain a non-empty value of type 'String'.",
        ),
        (
            {"a": {"DataType": "String"}},
            "The message (user) attribute 'a' must contain a non-empty message attribute value.",
        ),
        (
            {"a": text("x", "")},
            "The message (user) attribute 'a' must contain a non-empty message attribute type.",
        ),
        (
            {"a": text("ten", "Number")},
            "Can't cast the value of message (user) attribute 'a' to a number.",
        ),
        (
            {"a": text("x", "invalid")},
            "The type of message (user) attribute 'a' is invalid. You must use only the following "
            "supported type prefixes: Binary, Number, String.",
        ),
        (
            {"a": {**text("x"), "BinaryValue": b"x"}},
            "Message (user) attribute 'a' must have a single value.",
        ),
        (
            {"a": text("x", "Binary")},
            "Message (user) attribute 'a' with type 'Binary' must use field 'Binary'.",
        ),
        (
            {"AWS.a": text("x")},
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. "
            "These strings are reserved for internal use.",
        ),
        ({".a": text("x")}, "Message (user) attribute name must not begin with character '.'."),
        ({"a..b": text("x")}, "Message (user) attribute name must not have successive '.' characters."),
        ({"a" * 256: text("x")}, "Message (user) attribute name must be shorter than 256 bytes."),
        (
            {letter: text("x") for letter in string.ascii_letters[:11]},
            "Number of message attributes [11] exceeds the allowed maximum [10].",
        ),
    ):
        equal(invalid(send_with, attributes, url), told)
    for name in ("a b", "a!", "a(", "a?"):
        invalid(send_with, {name: text("x")}, url)
    equal(receive(url), [])


def test_lists_in_attributes_are_unsupported():
    url = fresh_queue()
    attributes = {"a": {"DataType": "String", "StringListValues": ["x"]}}
    error = refused("AWS.SimpleQueueService.UnsupportedOperation", send_with, attributes, url)
    assert isinstance(error, sqs.exceptions.UnsupportedOperation)


def test_a_delayed_message_comes_after_those_that_are_not():
    url = fresh_queue()
    send(url, "later", DelaySeconds=1)
    send(url, "now")
    equal(bodies(arrive(url, 2)), ["now", "later"])


def test_delayed_messages_are_counted_on_their_own():
    url = fresh_queue(DelaySeconds="900")
    send(url, "by the queue")
    send(url, "by the message", DelaySeconds=899)
    send(url, "not at all", DelaySeconds=0)
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed")
    equal(attributes_of(url, *names), dict(zip(names, ("1", "2"))))
    equal(bodies(receive(url)), ["not at all"])


def test_delays_have_limits():
    url = fresh_queue()
    for delay in (-1, 901):
        told = invalid(sqs.send_message, QueueUrl=url, MessageBody="x", DelaySeconds=delay)
        reason = "DelaySeconds must be >= 0 and <= 900."
        equal(told, f"Value {delay} for parameter DelaySeconds is invalid. Reason: {reason}")


def test_fifo_ids_are_refused_or_told_by_a_standard_queue():
    url = fresh_queue()
    invalid(sqs.send_message, QueueUrl=url, MessageBody="x", MessageDeduplicationId="d")
    invalid(sqs.send_message, QueueUrl=url, MessageBody="x", MessageGroupId="with space")
    sent = sqs.send_message(QueueUrl=url, MessageBody="fair", MessageGroupId="g")
    assert "SequenceNumber" not in sent
    (got,) = receive(url, AttributeNames=["All"])
    equal(got["Attributes"]["MessageGroupId"], "g")
    assert "SequenceNumber" not in got["Attributes"]
