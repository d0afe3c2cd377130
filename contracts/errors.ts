/**
 * The catalogue of stable codes: each code, what it means and what to do about it. A test pins the list, docs/errors.md is
 * printed from it, and dead letters, HTTP answers and error frames carry the code beside a text for people.
 */

/** Why an event was dead-lettered (`x-warren-reason`). */
export const deadLetterCodes = {
  invalid_json: 'The body is not JSON. Publish a JSON document in UTF-8.',
  invalid_utf8: 'The body is not UTF-8.',
  unsupported_encoding: 'The content-encoding is not supported. Publish the body uncompressed.',
  too_large: 'The body exceeds the size limit for domain events.',
  too_deep: 'The JSON nests deeper than 64 levels.',
  invalid_cloudevent:
    'A CloudEvents envelope lacks id, source, type or specversion 1.0, or holds an attribute of the wrong type.',
  schema_violation:
    'The payload is not what the schema of a rule asks for; the text names the place in it as a JSON pointer. Correct the publisher, or the schema.',
  missing_field: 'A template names a field that the event does not have.',
  invalid_field:
    'A template needs text, a number or a boolean, and the field holds something else.',
  invalid_segment:
    'A value inserted into a channel name is empty or holds other characters than A-Z a-z 0-9 _ - = @ , ;.',
  invalid_channel: 'The channel name that a rule yields is not a legal one.',
  invalid_event_name:
    'The event name that a rule yields is empty, too long or reserved for the protocol.',
  invalid_user:
    'The user id that `unsubscribe` or `disconnect` yields is empty, longer than 128 characters or not well-formed text.',
  invalid_socket_id:
    'The socket id of `except`, or of a `socket:` target, is not of the form 123.456.',
  unsafe_integer:
    'A projected integer lies beyond 2^53 and would change its value in the browser. Send it as text.',
  payload_too_large:
    'The data for the client exceeds the limit of the app. Project fewer fields, or raise limits.eventPayloadBytes.',
  internal_error:
    'The router failed on this event. This is a bug in Warren: please report it with the event.',
} as const;

export type DeadLetterCode = keyof typeof deadLetterCodes;

/** Why an event was refused. */
export interface Refusal {
  readonly code: DeadLetterCode;
  /** For people: names the rule and the field; never a payload value longer than a word. */
  readonly text: string;
}

/** What the HTTP API and the authorization endpoint answer, as `{"error": text, "code": code}`. */
export const httpCodes = {
  bad_request: { status: 400, text: 'The request is malformed.' },
  unauthorized: { status: 401, text: 'The signature or token does not hold.' },
  forbidden: { status: 403, text: 'The request is understood and refused.' },
  app_disabled: { status: 403, text: 'The app is disabled in warren.yaml.' },
  unknown_app: { status: 404, text: 'No app with this id.' },
  not_found: { status: 404, text: 'No such path.' },
  method_not_allowed: { status: 405, text: 'The path exists, for the methods that Allow names.' },
  too_large: { status: 413, text: 'The body or the event data exceeds the limit.' },
  rate_limited: {
    status: 429,
    text: 'More calls in a second than the limits of the app allow. Nothing was done: try again after Retry-After seconds.',
  },
  broker_unavailable: {
    status: 503,
    text: 'The broker did not confirm. Nothing is known to be lost or delivered: publish again.',
  },
  cluster_incomplete: {
    status: 503,
    text: 'Not every edge answered in time, and part of an answer would be taken for the whole. No event was published: try again.',
  },
  authorizer_unavailable: {
    status: 503,
    text: 'The service that decides about this channel does not answer, so nobody is let in now. Try again after Retry-After seconds.',
  },
  keys_unavailable: {
    status: 503,
    text: 'The keys that tokens are checked with cannot be fetched. The token may be good: try again after Retry-After seconds.',
  },
  internal_error: {
    status: 500,
    text: 'Warren failed on this request. This is a bug: please report it.',
  },
} as const;

export type HttpCode = keyof typeof httpCodes;

/** What a `pusher:error` frame says about a client frame; the socket stays open. */
export const frameCodes = {
  invalid_frame: 'The frame is not a JSON object with a string "event".',
  too_deep: 'The JSON nests deeper than 64 levels.',
  unknown_event: 'The event is neither a protocol event nor a client event.',
  invalid_channel_name: 'The channel name is not a legal one.',
  client_event_rejected:
    'The client event was not let through; the message says why. The socket and its subscriptions stay.',
  signin_refused:
    'The sign-in was refused: its signature or its user_data does not hold, or the socket is signed in as another user.',
  watchlist_limit:
    'The watchlist is longer than the limit; the sign-in succeeded with its beginning.',
} as const;

export type FrameCode = keyof typeof frameCodes;
