# Requests of the Query protocol as they are written by hand, signed by botocore, and what their answers say.
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

import boto3
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from claims.support import REGION, URL, equal

VERSION = "2012-11-05"
NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
KEYS = boto3.Session().get_credentials()


class SignedAt(SigV4Auth):
    """Signs as if it were another time."""

    def __init__(self, timestamp):
        super().__init__(KEYS, "sqs", REGION)
        self.timestamp = timestamp

    def _modify_request_before_signing(self, request):
        request.context["timestamp"] = self.timestamp
        super()._modify_request_before_signing(request)


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def root(self):
        return ElementTree.fromstring(self.body)

    def text(self, name):
        """Of the first element of the name; None when there is none."""
        return self.root.findtext(f".//{NAMESPACE}{name}")

    def texts(self, name):
        return [element.text for element in self.root.iter(NAMESPACE + name)]

    def structures(self, name):
        """Each element of the name as a dictionary of what is in it."""
        return [
            {child.tag.removeprefix(NAMESPACE): child.text for child in element}
            for element in self.root.iter(NAMESPACE + name)
        ]

    def refusal(self):
        return (self.status, self.text("Code"))


def signer(service="sqs", region=REGION, keys=KEYS):
    return SigV4Auth(keys, service, region)


def presigner(seconds=60, keys=KEYS):
    return SigV4QueryAuth(keys, "sqs", REGION, expires=seconds)


def form(action, **parameters):
    return {"Action": action, "Version": VERSION, **parameters}


def post(parameters, path="/", headers=None):
    body = urllib.parse.urlencode(parameters).encode()
    return AWSRequest("POST", URL + path, {"Content-Type": FORM, **(headers or {})}, body)


def get(parameters, path="/"):
    return AWSRequest("GET", f"{URL}{path}?{urllib.parse.urlencode(parameters)}")


def signed(request, auth=None):
    (auth or signer()).add_auth(request)
    return request


def exchange(request):
    prepared = request.prepare()
    sent = urllib.request.Request(prepared.url, prepared.body, dict(prepared.headers), method=prepared.method)
    try:
        with urllib.request.urlopen(sent) as response:
            return Reply(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())


def ask(action, path="/", **parameters):
    reply = exchange(signed(post(form(action, **parameters), path)))
    assert reply.status == 200, reply.body
    return reply


def ask_refused(code, action, status=400, path="/", **parameters):
    reply = exchange(signed(post(form(action, **parameters), path)))
    equal(reply.refusal(), (status, code))
    return reply.text("Message")
