# The Query protocol itself: where requests may go, and how they are answered.
from claims.signed_requests import NAMESPACE, ask, ask_refused, exchange, form, get, post, presigner, signed
from claims.support import (
    ACCOUNT,
    NO_QUEUE,
    URL,
    arn_of,
    bodies,
    equal,
    fresh_name,
    fresh_queue,
    md5,
    name_of,
    receive,
    send,
    sqs,
)


def path_of(url):
    return url.removeprefix(URL)


def test_a_request_may_go_to_the_queues_own_url():
    url = fresh_queue()
    reply = ask("SendMessage", path_of(url), MessageBody="by its path")
    equal(reply.text("MD5OfMessageBody"), md5("by its path"))
    equal(ask("ReceiveMessage", path_of(url)).text("Body"), "by its path")


def test_a_parameter_stands_over_the_path():
    path, named = fresh_queue(), fresh_queue()
    ask("SendMessage", path_of(path), QueueUrl=named, MessageBody="x")
    equal((len(receive(path)), len(receive(named))), (0, 1))


def test_a_queue_may_be_called_by_its_name_alone():
    url = fresh_queue()
    sqs.send_message(QueueUrl=name_of(url), MessageBody="x")
    equal(bodies(receive(name_of(url))), ["x"])


def test_hosts_and_accounts_of_queue_urls_are_not_looked_at():
    url = fresh_queue()
    send(f"https://sqs.us-west-2.amazonaws.com/123456789012/{name_of(url)}", "x")
    equal(bodies(receive(url)), ["x"])


def test_an_unknown_queue_in_the_path_does_not_exist():
    told = ask_refused(NO_QUEUE, "GetQueueAttributes", path=f"/{ACCOUNT}/{fresh_name()}")
    equal(told, "The specified queue does not exist for this wsdl version.")


def test_a_queues_url_finds_other_queues_and_makes_none():
    url, other = fresh_queue(), fresh_queue()
    reply = ask("GetQueueUrl", path_of(url), QueueName=name_of(other))
    equal(reply.text("QueueUrl"), other)
    for action in ("CreateQueue", "ListQueues"):
        told = ask_refused("InvalidAction", action, path=path_of(url), QueueName=fresh_name())
        equal(told, f"The action {action} is not valid for this endpoint.")


def test_an_unknown_action_is_refused():
    told = ask_refused("InvalidAction", "FooBar")
    equal(told, "The action FooBar is not valid for this endpoint.")


def test_a_missing_parameter_is_named():
    url = fresh_queue()
    for action, parameter in (
        ("SendMessage", "MessageBody"),
        ("DeleteMessage", "ReceiptHandle"),
        ("ChangeMessageVisibility", "ReceiptHandle"),
        ("SetQueueAttributes", "Attribute.Name"),
    ):
        told = ask_refused("MissingParameter", action, path=path_of(url))
        equal(told, f"The request must contain the parameter {parameter}.")


def test_what_is_no_number_is_refused():
    ask_refused("InvalidParameterValue", "ReceiveMessage", path=path_of(fresh_queue()), WaitTimeSeconds="ten")


def test_a_get_is_answered_as_a_post():
    url = fresh_queue()
    reply = exchange(signed(get(form("GetQueueAttributes", **{"AttributeName.1": "QueueArn"}), path_of(url))))
    equal(reply.status, 200)
    equal(reply.structures("Attribute"), [{"Name": "QueueArn", "Value": arn_of(url)}])


def test_a_presigned_get_is_answered():
    url = fresh_queue()
    request = get(form("SendMessage", MessageBody="a+b &é%"), path_of(url))
    equal(exchange(signed(request, presigner())).status, 200)
    equal(bodies(receive(url)), ["a+b &é%"])


def test_a_get_without_an_action_finds_nothing():
    equal(exchange(signed(get({}, path_of(fresh_queue())))).status, 404)


def test_a_version_may_be_left_out():
    url = fresh_queue()
    reply = exchange(signed(post({"Action": "SendMessage", "MessageBody": "x"}, path_of(url))))
    equal(reply.status, 200)


def test_answers_are_xml_of_the_namespace():
    url = fresh_queue()
    reply = ask("GetQueueUrl", QueueName=name_of(url))
    equal(reply.headers.get_content_type(), "text/xml")
    equal(
        [element.tag.removeprefix(NAMESPACE) for element in reply.root.iter()],
        ["GetQueueUrlResponse", "GetQueueUrlResult", "QueueUrl", "ResponseMetadata", "RequestId"],
    )
    equal(reply.headers["x-amzn-RequestId"], reply.text("RequestId"))


def test_an_action_without_a_result_answers_with_its_name():
    reply = ask("PurgeQueue", path_of(fresh_queue()))
    equal([child.tag.split("}")[1] for child in reply.root], ["ResponseMetadata"])


def test_errors_are_xml_of_the_namespace():
    reply = exchange(signed(post(form("FooBar"))))
    equal(reply.headers.get_content_type(), "text/xml")
    (error,) = reply.structures("Error")
    equal((error["Type"], error["Code"]), ("Sender", "InvalidAction"))
    equal(set(error), {"Type", "Code", "Message", "Detail"})
    equal(reply.headers["x-amzn-RequestId"], reply.text("RequestId"))


def test_carriage_returns_go_out_as_references():
    url = fresh_queue()
    send(url, '\r"')
    body = ask("ReceiveMessage", path_of(url)).body
    assert b"<Body>&#xD;&quot;</Body>" in body, body


def test_a_trace_header_of_http_becomes_that_of_the_message():
    url = fresh_queue()
    request = post(form("SendMessage", MessageBody="x"), path_of(url), {"X-Amzn-Trace-Id": "Root=1-2-3"})
    equal(exchange(signed(request)).status, 200)
    (got,) = receive(url, AttributeNames=["AWSTraceHeader"])
    equal(got["Attributes"], {"AWSTraceHeader": "Root=1-2-3"})


def test_system_attributes_have_an_older_and_a_newer_list_of_names():
    url = fresh_queue()
    send(url, "x")
    for name in ("AttributeName.1", "MessageSystemAttributeName.1"):
        reply = ask("ReceiveMessage", path_of(url), VisibilityTimeout=0, **{name: "SenderId"})
        equal([one["Name"] for one in reply.structures("Attribute")], ["SenderId"])
