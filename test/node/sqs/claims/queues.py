# Queues: how they are made, found, listed, set, tagged, shared, emptied and taken away.
import json

from claims.support import (
    ACCOUNT,
    NO_QUEUE,
    REGION,
    URL,
    arn_of,
    attributes_of,
    equal,
    fresh_fifo,
    fresh_name,
    fresh_queue,
    invalid,
    message_of,
    missing,
    name_of,
    receive,
    refused,
    send,
    sqs,
)


def test_a_queue_is_made_at_the_endpoint():
    name = fresh_name()
    equal(sqs.create_queue(QueueName=name)["QueueUrl"], f"{URL}/{ACCOUNT}/{name}")


def test_a_queue_is_made_again_with_the_same_attributes_or_fewer():
    name = fresh_name()
    first = sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "3", "VisibilityTimeout": "9"})
    for attributes in ({"DelaySeconds": "3", "VisibilityTimeout": "9"}, {"DelaySeconds": "3"}, {}):
        again = sqs.create_queue(QueueName=name, Attributes=attributes)
        equal(again["QueueUrl"], first["QueueUrl"])


def test_a_name_is_taken_by_a_queue_with_another_value():
    name = fresh_name()
    sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "3"})
    error = refused("QueueAlreadyExists", sqs.create_queue, QueueName=name, Attributes={"DelaySeconds": "4"})
    assert isinstance(error, sqs.exceptions.QueueNameExists)
    assert message_of(error).endswith("a different value for attribute DelaySeconds")


def test_bad_names_are_refused():
    for name in ("with space", "slash/ed", "dotted.name", "x" * 81, "x.fifo"):
        told = invalid(sqs.create_queue, QueueName=name)
        equal(told, "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
    for name in ("x", "x.FIFO", "x" * 76 + ".fifo"):
        invalid(sqs.create_queue, QueueName=name, Attributes={"FifoQueue": "true"})


def test_fifo_attributes_are_refused_for_a_standard_queue():
    for attributes in (
        {"FifoQueue": "false"},
        {"ContentBasedDeduplication": "true"},
        {"DeduplicationScope": "queue"},
        {"FifoThroughputLimit": "perQueue"},
    ):
        refused("InvalidAttributeName", sqs.create_queue, QueueName=fresh_name(), Attributes=attributes)


def test_a_queue_is_found_by_its_name():
    url = fresh_queue()
    equal(sqs.get_queue_url(QueueName=name_of(url))["QueueUrl"], url)
    found = sqs.get_queue_url(QueueName=name_of(url), QueueOwnerAWSAccountId=ACCOUNT)
    equal(found["QueueUrl"], url)


def test_an_unknown_queue_is_an_exception_of_its_own():
    error = refused(NO_QUEUE, sqs.get_queue_url, QueueName=fresh_name())
    assert isinstance(error, sqs.exceptions.QueueDoesNotExist)
    equal(error.response["Error"]["Type"], "Sender")
    equal(message_of(error), "The specified queue does not exist for this wsdl version.")


def test_queues_are_listed_by_prefix():
    prefix = fresh_name("-listed-")
    urls = [sqs.create_queue(QueueName=prefix + letter)["QueueUrl"] for letter in "abc"]
    equal(sqs.list_queues(QueueNamePrefix=prefix)["QueueUrls"], urls)
    equal(sqs.list_queues(QueueNamePrefix=f"{prefix}b")["QueueUrls"], [urls[1]])


def test_a_list_without_queues_has_no_member():
    answer = sqs.list_queues(QueueNamePrefix=fresh_name("-none"))
    equal(set(answer), {"ResponseMetadata"})


def test_a_paginator_walks_through_queues():
    prefix = fresh_name("-paged-")
    urls = [sqs.create_queue(QueueName=f"{prefix}{i}")["QueueUrl"] for i in range(5)]
    pages = sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix=prefix, PaginationConfig={"PageSize": 2}
    )
    equal([page["QueueUrls"] for page in pages], [urls[:2], urls[2:4], urls[4:]])


def test_pages_have_limits():
    for size in (0, 1001):
        invalid(sqs.list_queues, MaxResults=size)
    told = invalid(sqs.list_queues, NextToken="eA==")
    equal(told, "MaxResults is a mandatory parameter when you provide a value for NextToken.")
    invalid(sqs.list_queues, MaxResults=1, NextToken="no token")


def test_a_new_queue_has_the_attributes_that_aws_gives_it():
    url = fresh_queue()
    attributes = attributes_of(url, "All")
    for name in ("CreatedTimestamp", "LastModifiedTimestamp"):
        equal(len(attributes.pop(name)), len("1700000000"))
    equal(
        attributes,
        {
            "ApproximateNumberOfMessages": "0",
            "ApproximateNumberOfMessagesDelayed": "0",
            "ApproximateNumberOfMessagesNotVisible": "0",
            "DelaySeconds": "0",
            "MaximumMessageSize": "1048576",
            "MessageRetentionPeriod": "345600",
            "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name_of(url)}",
            "ReceiveMessageWaitTimeSeconds": "0",
            "SqsManagedSseEnabled": "true",
            "VisibilityTimeout": "30",
        },
    )


def test_a_new_fifo_queue_has_four_more():
    standard, fifo = attributes_of(fresh_queue(), "All"), attributes_of(fresh_fifo(), "All")
    more = {name: value for name, value in fifo.items() if name not in standard}
    equal(
        more,
        {
            "ContentBasedDeduplication": "false",
            "DeduplicationScope": "queue",
            "FifoQueue": "true",
            "FifoThroughputLimit": "perQueue",
        },
    )


def test_attributes_are_set_and_told():
    url = fresh_queue()
    wanted = {
        "DelaySeconds": "1",
        "MaximumMessageSize": "2048",
        "MessageRetentionPeriod": "60",
        "ReceiveMessageWaitTimeSeconds": "20",
        "VisibilityTimeout": "43200",
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes=wanted)
    equal(attributes_of(url, *wanted), wanted)


def test_attributes_that_were_not_asked_for_are_not_told():
    url = fresh_queue()
    equal(set(sqs.get_queue_attributes(QueueUrl=url)), {"ResponseMetadata"})
    equal(attributes_of(url, "VisibilityTimeout", "RedrivePolicy"), {"VisibilityTimeout": "30"})


def test_unknown_attributes_are_refused():
    url = fresh_queue()
    error = refused("InvalidAttributeName", attributes_of, url, "Foobar")
    assert isinstance(error, sqs.exceptions.InvalidAttributeName)
    equal(message_of(error), "Unknown Attribute Foobar.")
    for name in ("Foobar", "QueueArn", "CreatedTimestamp", "ApproximateNumberOfMessages"):
        refused("InvalidAttributeName", sqs.set_queue_attributes, QueueUrl=url, Attributes={name: "1"})


def test_bad_values_of_attributes_are_refused():
    url = fresh_queue()
    for name, value in (
        ("DelaySeconds", "901"),
        ("DelaySeconds", "-1"),
        ("DelaySeconds", ""),
        ("DelaySeconds", "1.5"),
        ("MaximumMessageSize", "1023"),
        ("MaximumMessageSize", "1048577"),
        ("MessageRetentionPeriod", "59"),
        ("ReceiveMessageWaitTimeSeconds", "21"),
        ("VisibilityTimeout", "43201"),
        ("VisibilityTimeout", "true"),
        ("SqsManagedSseEnabled", "yes"),
        ("Policy", "[]"),
    ):
        error = refused(
            "InvalidAttributeValue", sqs.set_queue_attributes, QueueUrl=url, Attributes={name: value}
        )
        equal(message_of(error), f"Invalid value for the parameter {name}.")


def test_setting_no_attributes_is_refused():
    missing("Attribute.Name", sqs.set_queue_attributes, QueueUrl=fresh_queue(), Attributes={})


def test_the_type_of_a_queue_stays():
    fifo = fresh_fifo()
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"FifoQueue": "true"})
    refused(
        "InvalidAttributeValue",
        sqs.set_queue_attributes,
        QueueUrl=fifo,
        Attributes={"FifoQueue": "false"},
    )


def test_one_kind_of_encryption_ends_the_other():
    url = fresh_queue()
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": "a-key"})
    names = ("KmsMasterKeyId", "SqsManagedSseEnabled", "KmsDataKeyReusePeriodSeconds")
    equal(attributes_of(url, *names), dict(zip(names, ("a-key", "false", "300"))))
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": ""})
    equal(attributes_of(url, *names), {"SqsManagedSseEnabled": "false"})
    both = {"KmsMasterKeyId": "a-key", "SqsManagedSseEnabled": "true"}
    refused("InvalidAttributeName", sqs.set_queue_attributes, QueueUrl=url, Attributes=both)


def test_tags_are_set_told_and_taken_away():
    name = fresh_name()
    url = sqs.create_queue(QueueName=name, tags={"team": "a", "Team": "b"})["QueueUrl"]
    equal(sqs.list_queue_tags(QueueUrl=url)["Tags"], {"team": "a", "Team": "b"})
    sqs.tag_queue(QueueUrl=url, Tags={"team": "c", "empty": "", "with space": "é / x"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["Team", "never there"])
    equal(
        sqs.list_queue_tags(QueueUrl=url)["Tags"],
        {"team": "c", "empty": "", "with space": "é / x"},
    )


def test_a_queue_without_tags_has_no_member():
    answer = sqs.list_queue_tags(QueueUrl=fresh_queue())
    equal(set(answer), {"ResponseMetadata"})


def test_tags_have_limits():
    url = fresh_queue()
    told = invalid(sqs.tag_queue, QueueUrl=url, Tags={"": "x"})
    equal(told, "Tag keys must be between 1 and 128 characters in length.")
    told = invalid(sqs.tag_queue, QueueUrl=url, Tags={str(i): "x" for i in range(51)})
    equal(told, f"Too many tags added for queue {name_of(url)}.")
    for tags in ({"a&b": "x"}, {"a": "<x>"}):
        told = invalid(sqs.tag_queue, QueueUrl=url, Tags=tags)
        equal(
            told,
            "Tags can only include letters, digits, spaces and _ . : / = + - @.",
        )


def test_permissions_are_statements_of_the_policy():
    url = fresh_queue()
    sqs.add_permission(
        QueueUrl=url, Label="share", AWSAccountIds=["123456789012"], Actions=["SendMessage", "GetQueueUrl"]
    )
    policy = json.loads(attributes_of(url, "Policy")["Policy"])
    equal(
        policy["Statement"],
        [
            {
                "Sid": "share",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                "Action": ["SQS:SendMessage", "SQS:GetQueueUrl"],
                "Resource": arn_of(url),
            }
        ],
    )
    sqs.remove_permission(QueueUrl=url, Label="share")
    equal(attributes_of(url, "Policy"), {})


def test_a_label_of_permissions_is_there_once():
    url = fresh_queue()
    share = {
        "QueueUrl": url,
        "Label": "share",
        "AWSAccountIds": ["123456789012"],
        "Actions": ["SendMessage"],
    }
    sqs.add_permission(**share)
    told = invalid(sqs.add_permission, **share)
    equal(told, "Value share for parameter Label is invalid. Reason: Already exists.")
    told = invalid(sqs.remove_permission, QueueUrl=url, Label="other")
    equal(told, "Value other for parameter Label is invalid. Reason: can't find label.")
    invalid(sqs.add_permission, **{**share, "Label": "x", "Actions": ["Dance"]})
    invalid(sqs.add_permission, **{**share, "Label": "x", "AWSAccountIds": ["me"]})


def test_a_policy_is_kept_as_it_was_set():
    policy = (
        '{"Version": "2012-10-17",  "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*"}]}'
    )
    url = fresh_queue(Policy=policy)
    equal(attributes_of(url, "Policy"), {"Policy": policy})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    equal(attributes_of(url, "Policy"), {})


def test_a_purge_takes_all_messages():
    url = fresh_queue()
    send(url, "in flight")
    equal(len(receive(url)), 1)
    send(url, "visible")
    send(url, "delayed", DelaySeconds=900)
    sqs.purge_queue(QueueUrl=url)
    counts = attributes_of(
        url,
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
    )
    equal(set(counts.values()), {"0"})
    equal(receive(url), [])


def test_a_purge_may_follow_a_purge_at_once():
    url = fresh_queue()
    sqs.purge_queue(QueueUrl=url)
    sqs.purge_queue(QueueUrl=url)


def test_a_deleted_queue_is_gone_for_every_action():
    url = fresh_queue()
    sqs.delete_queue(QueueUrl=url)
    handle = "eA=="
    entry = {"Id": "a", "ReceiptHandle": handle}
    calls = (
        (sqs.get_queue_url, {"QueueName": name_of(url)}),
        (sqs.get_queue_attributes, {"QueueUrl": url, "AttributeNames": ["All"]}),
        (sqs.set_queue_attributes, {"QueueUrl": url, "Attributes": {"DelaySeconds": "1"}}),
        (sqs.send_message, {"QueueUrl": url, "MessageBody": "x"}),
        (sqs.send_message_batch, {"QueueUrl": url, "Entries": [{"Id": "a", "MessageBody": "x"}]}),
        (sqs.receive_message, {"QueueUrl": url}),
        (sqs.delete_message, {"QueueUrl": url, "ReceiptHandle": handle}),
        (sqs.delete_message_batch, {"QueueUrl": url, "Entries": [entry]}),
        (
            sqs.change_message_visibility,
            {"QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": 1},
        ),
        (
            sqs.change_message_visibility_batch,
            {"QueueUrl": url, "Entries": [{**entry, "VisibilityTimeout": 1}]},
        ),
        (sqs.purge_queue, {"QueueUrl": url}),
        (sqs.list_queue_tags, {"QueueUrl": url}),
        (sqs.tag_queue, {"QueueUrl": url, "Tags": {"a": "b"}}),
        (sqs.untag_queue, {"QueueUrl": url, "TagKeys": ["a"]}),
        (
            sqs.add_permission,
            {
                "QueueUrl": url,
                "Label": "a",
                "AWSAccountIds": ["123456789012"],
                "Actions": ["SendMessage"],
            },
        ),
        (sqs.remove_permission, {"QueueUrl": url, "Label": "a"}),
        (sqs.list_dead_letter_source_queues, {"QueueUrl": url}),
        (sqs.delete_queue, {"QueueUrl": url}),
    )
    for call, parameters in calls:
        error = refused(NO_QUEUE, call, **parameters)
        assert isinstance(error, sqs.exceptions.QueueDoesNotExist)


def test_the_name_of_a_deleted_queue_is_free_at_once():
    url = fresh_queue()
    send(url, "before")
    sqs.delete_queue(QueueUrl=url)
    sqs.create_queue(QueueName=name_of(url), Attributes={"DelaySeconds": "0"})
    equal(receive(url), [])
