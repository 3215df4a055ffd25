# Who may ask: access keys, signatures, and what a key does not open.
import os
from datetime import datetime, timedelta, timezone

from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import Credentials

from claims.signed_requests import (
    KEYS,
    SignedAt,
    exchange,
    form,
    get,
    post,
    presigner,
    signed,
    signer,
)
from claims.support import (
    REGION,
    URL,
    client,
    equal,
    fresh_name,
    fresh_queue,
    message_of,
    name_of,
    refused,
    sqs,
)

WRONG = (403, "SignatureDoesNotMatch")


def keyed(access_key_id, secret_access_key):
    return client(aws_access_key_id=access_key_id, aws_secret_access_key=secret_access_key)


def reader():
    """Whose key is only for receiving, from queues called `readable`."""
    return keyed(os.environ["READER_ACCESS_KEY_ID"], os.environ["READER_SECRET_ACCESS_KEY"])


def timestamp(minutes):
    return (datetime.now(timezone.utc) + timedelta(minutes=minutes)).strftime("%Y%m%dT%H%M%SZ")


def list_queues():
    return post(form("ListQueues", QueueNamePrefix="none"))


def test_a_request_without_a_signature_is_denied():
    unsigned = client(config=Config(signature_version=UNSIGNED))
    error = refused("AccessDenied", unsigned.list_queues, status=403)
    equal(message_of(error), f"Access to the resource {URL}/ is denied.")


def test_an_unknown_key_is_refused():
    for key in ("AKIAIOSFODNN7EXAMPLE", KEYS.access_key[:-1]):
        stranger = keyed(key, KEYS.secret_key)
        error = refused("InvalidClientTokenId", stranger.list_queues, status=403)
        equal(message_of(error), "The security token included in the request is invalid.")


def test_another_secret_is_refused():
    impostor = keyed(KEYS.access_key, "x" + KEYS.secret_key[1:])
    refused("SignatureDoesNotMatch", impostor.list_queues, status=403)


def test_a_body_that_was_changed_is_refused():
    url = fresh_queue()
    request = signed(post(form("SendMessage", QueueUrl=url, MessageBody="one")))
    request.data = request.data.replace(b"one", b"two")
    equal(exchange(request).refusal(), WRONG)


def test_a_query_that_was_changed_is_refused():
    for request in (
        signed(get(form("GetQueueUrl", QueueName="one"))),
        signed(get(form("GetQueueUrl", QueueName="one")), presigner()),
    ):
        request.url = request.url.replace("one", "two")
        equal(exchange(request).refusal(), WRONG)


def test_a_path_that_was_changed_is_refused():
    one, two = fresh_queue(), fresh_queue()
    request = signed(post(form("PurgeQueue"), one.removeprefix(URL)))
    request.url = two
    equal(exchange(request).refusal(), WRONG)


def test_a_signature_of_long_ago_or_of_the_future_is_refused():
    for minutes, words in ((-16, "Signature expired: "), (16, "Signature not yet current: ")):
        reply = exchange(signed(list_queues(), SignedAt(timestamp(minutes))))
        equal(reply.refusal(), WRONG)
        assert reply.text("Message").startswith(words), reply.text("Message")


def test_a_clock_may_be_minutes_wrong():
    for minutes in (-14, 14):
        equal(exchange(signed(list_queues(), SignedAt(timestamp(minutes)))).status, 200)


def test_a_date_that_was_changed_is_refused():
    request = signed(list_queues(), SignedAt(timestamp(-60)))
    request.headers.replace_header("X-Amz-Date", timestamp(0))
    equal(exchange(request).refusal(), WRONG)


def test_a_presigned_url_is_good_for_its_time():
    request = get(form("ListQueues", QueueNamePrefix="none"))
    equal(exchange(signed(request, presigner(seconds=604800))).status, 200)
    presigned = signed(get(form("ListQueues", QueueNamePrefix="none")), presigner(seconds=60))
    presigned.url = presigned.url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")
    equal(exchange(presigned).refusal(), WRONG)


def test_a_signature_for_another_service_is_refused():
    equal(exchange(signed(list_queues(), signer(service="sns"))).refusal(), WRONG)


def test_a_broken_authorization_is_told_as_such():
    for authorization in ("AWS4-HMAC-SHA256 nothing", "Bearer token"):
        request = post(form("ListQueues"), headers={"Authorization": authorization})
        equal(exchange(request).refusal(), (400, "IncompleteSignature"))


def test_any_region_is_served_and_told_in_names():
    url = fresh_queue()
    for region in (REGION, "ap-southeast-2"):
        there = client(region_name=region)
        attributes = there.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        equal(attributes["QueueArn"].split(":")[3], region)


def test_a_session_token_does_no_harm():
    temporary = Credentials(KEYS.access_key, KEYS.secret_key, "a session")
    equal(exchange(signed(list_queues(), signer(keys=temporary))).status, 200)
    equal(exchange(signed(get(form("ListQueues")), presigner(keys=temporary))).status, 200)


def test_a_key_opens_what_its_grants_say_and_no_more():
    readable, other = fresh_name("readable"), fresh_queue()
    url = sqs.create_queue(QueueName="readable")["QueueUrl"]
    sqs.purge_queue(QueueUrl=url)
    sqs.send_message(QueueUrl=url, MessageBody=readable)
    narrow = reader()
    (got,) = narrow.receive_message(QueueUrl=url)["Messages"]
    narrow.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
    for call, parameters in (
        (narrow.send_message, {"QueueUrl": url, "MessageBody": "x"}),
        (narrow.purge_queue, {"QueueUrl": url}),
        (narrow.delete_queue, {"QueueUrl": url}),
        (narrow.set_queue_attributes, {"QueueUrl": url, "Attributes": {"DelaySeconds": "1"}}),
        (narrow.tag_queue, {"QueueUrl": url, "Tags": {"a": "b"}}),
        (narrow.receive_message, {"QueueUrl": other}),
        (narrow.get_queue_url, {"QueueName": name_of(other)}),
        (narrow.create_queue, {"QueueName": fresh_name()}),
    ):
        refused("AccessDenied", call, status=403, **parameters)
    equal(narrow.list_queues()["QueueUrls"], [url])


def test_messages_tell_who_sent_them():
    url = fresh_queue()
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (got,) = sqs.receive_message(QueueUrl=url, AttributeNames=["SenderId"])["Messages"]
    equal(got["Attributes"], {"SenderId": os.environ["SENDER"]})
