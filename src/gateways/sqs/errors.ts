// Every way a caller of SQS can be told no, as each of the two protocols writes it. The names are those of the
// service's model; what the model leaves out is named by its Query code.

export type Fault = "Sender" | "Receiver";

export interface SqsError {
  /** Identity of the shape, in `__type` of a JSON answer. */
  readonly type: string;
  /** In `<Code>` of a Query answer and in the header `x-amzn-query-error` of a JSON answer. */
  readonly code: string;
  /** The same in both protocols. */
  readonly status: number;
  readonly fault: Fault;
}

/** An exception of the service's model. Its code differs from its name where Query had another one before. */
function modelled(name: string, status = 400, code = name): SqsError {
  return { type: `com.amazonaws.sqs#${name}`, code, status, fault: "Sender" };
}

function prefixed(name: string, status = 400, code = name): SqsError {
  return modelled(name, status, `AWS.SimpleQueueService.${code}`);
}

/** An error of the framework in front of every AWS service, which no service's model lists. */
function common(exception: string, code: string, status = 400, fault: Fault = "Sender"): SqsError {
  return { type: `com.amazon.coral.service#${exception}`, code, status, fault };
}

export const SQS_ERRORS = {
  // Queues
  QueueDoesNotExist: prefixed("QueueDoesNotExist", 400, "NonExistentQueue"),
  QueueNameExists: modelled("QueueNameExists", 400, "QueueAlreadyExists"),
  QueueDeletedRecently: prefixed("QueueDeletedRecently"),
  PurgeQueueInProgress: prefixed("PurgeQueueInProgress", 403),
  InvalidAttributeName: modelled("InvalidAttributeName"),
  InvalidAttributeValue: modelled("InvalidAttributeValue"),
  OverLimit: modelled("OverLimit", 403),
  ResourceNotFoundException: modelled("ResourceNotFoundException", 404),
  UnsupportedOperation: prefixed("UnsupportedOperation"),
  // Messages
  InvalidMessageContents: modelled("InvalidMessageContents"),
  InvalidIdFormat: modelled("InvalidIdFormat"),
  ReceiptHandleIsInvalid: modelled("ReceiptHandleIsInvalid", 404),
  MessageNotInflight: prefixed("MessageNotInflight"),
  // Batches
  EmptyBatchRequest: prefixed("EmptyBatchRequest"),
  TooManyEntriesInBatchRequest: prefixed("TooManyEntriesInBatchRequest"),
  BatchEntryIdsNotDistinct: prefixed("BatchEntryIdsNotDistinct"),
  BatchRequestTooLong: prefixed("BatchRequestTooLong"),
  InvalidBatchEntryId: prefixed("InvalidBatchEntryId"),
  // Keys of encrypted queues
  KmsAccessDenied: modelled("KmsAccessDenied", 400, "KMS.AccessDeniedException"),
  KmsDisabled: modelled("KmsDisabled", 400, "KMS.DisabledException"),
  KmsInvalidKeyUsage: modelled("KmsInvalidKeyUsage", 400, "KMS.InvalidKeyUsageException"),
  KmsInvalidState: modelled("KmsInvalidState", 400, "KMS.InvalidStateException"),
  KmsNotFound: modelled("KmsNotFound", 400, "KMS.NotFoundException"),
  KmsOptInRequired: modelled("KmsOptInRequired", 403, "KMS.OptInRequired"),
  KmsThrottled: modelled("KmsThrottled", 400, "KMS.ThrottlingException"),
  // The request itself
  InvalidAddress: modelled("InvalidAddress", 404),
  InvalidSecurity: modelled("InvalidSecurity", 403),
  RequestThrottled: modelled("RequestThrottled", 403),
  InvalidParameterValue: common("InvalidParameterValueException", "InvalidParameterValue"),
  InvalidParameterCombination: common("InvalidParameterCombinationException", "InvalidParameterCombination"),
  MissingParameter: common("MissingRequiredParameterException", "MissingParameter"),
  InvalidAction: common("UnknownOperationException", "InvalidAction"),
  MissingAction: common("MissingActionException", "MissingAction"),
  MalformedQueryString: common("MalformedQueryStringException", "MalformedQueryString", 404),
  SerializationException: common("SerializationException", "MalformedInput"),
  RequestEntityTooLarge: common("RequestEntityTooLargeException", "RequestEntityTooLarge", 413),
  // Who asks
  AccessDenied: common("AccessDeniedException", "AccessDenied", 403),
  InvalidClientTokenId: common("UnrecognizedClientException", "InvalidClientTokenId", 403),
  SignatureDoesNotMatch: common("InvalidSignatureException", "SignatureDoesNotMatch", 403),
  MissingAuthenticationToken: common(
    "MissingAuthenticationTokenException",
    "MissingAuthenticationToken",
    403,
  ),
  IncompleteSignature: common("IncompleteSignatureException", "IncompleteSignature"),
  RequestExpired: common("RequestExpiredException", "RequestExpired"),
  // Us
  Throttling: common("ThrottlingException", "Throttling"),
  InternalFailure: common("InternalFailure", "InternalFailure", 500, "Receiver"),
  ServiceUnavailable: common("ServiceUnavailableException", "ServiceUnavailable", 503, "Receiver"),
} as const satisfies Record<string, SqsError>;

export type SqsErrorName = keyof typeof SQS_ERRORS;

export interface SqsRefusal {
  readonly ok: false;
  readonly error: SqsErrorName;
  /** For people; never parsed. */
  readonly message: string;
}

export type Answer<T> = { readonly ok: true; readonly value: T } | SqsRefusal;

export function sqsRefusal(error: SqsErrorName, message: string): SqsRefusal {
  return { ok: false, error, message };
}

export function answered<T>(value: T): Answer<T> {
  return { ok: true, value };
}

export const NO_QUEUE = sqsRefusal("QueueDoesNotExist", "The specified queue does not exist.");
