/** docs/errors.md, from the catalogues of codes that the program itself uses. */
import { brokerErrors } from '../broker/errors.ts';
import { deadLetterCodes, frameCodes, httpCodes } from '../contracts/errors.ts';
import { closeCodes } from '../contracts/pusher/close-codes.ts';
import { code, table } from './table.ts';

export function errorsPage(): string {
  return `<!-- Printed by \`npm run docs\` from the catalogues in contracts/ and broker/. Change it there. -->

# Errors

Every error that Warren reports has a stable code, for programs, and a text, for people. Texts may be improved from version to
version; codes stay. Look here for what a code means and what to do about it.

## A domain event was dead-lettered

The router puts an event that it can never accept into the queue \`router.events.dlq\`, unchanged, with the header
\`x-warren-reason\`: the code, a colon, and a text that names the rule and the field. The events behind it go on.

${table(
  ['Code', 'What it means, and the cure'],
  Object.entries(deadLetterCodes).map(([name, text]) => [code(name), text]),
)}

## The HTTP API refused a request

The body of the answer is \`{"error": "<text>", "code": "<code>"}\`. A publish that was answered with anything but 200 may be
repeated; after 503 it may have been delivered already, so use ids if that matters.

${table(
  ['Status', 'Code', 'What it means'],
  Object.entries(httpCodes).map(([name, { status, text }]) => [code(status), code(name), text]),
)}

## An error frame arrived

\`{"event":"pusher:error","data":{"code":…,"message":"…","type":"<code>"}}\` complains about one frame that the client sent. The socket
stays open. In pusher-js: \`pusher.connection.bind('error', …)\`.

${table(
  ['`type`', 'What it means'],
  Object.entries(frameCodes).map(([name, text]) => [code(name), text]),
)}

## The socket was closed

The range of a WebSocket close code tells a Pusher client what to do next.

${table(
  ['Code', 'Reason', 'What a stock client does'],
  Object.values(closeCodes).map((one) => [code(one.code), one.reason, reaction(one.code)]),
)}

## The broker failed

These codes stand in logs, in the answers of \`bin/warren\`, and in \`BrokerError.code\` for code that uses \`broker/port.ts\`.

${table(
  ['Code', 'Try again?', 'What it means'],
  Object.entries(brokerErrors).map(([name, { retryable, text }]) => [
    code(name),
    retryable ? 'yes' : 'no',
    text,
  ]),
)}
`;
}

/** pusher-js, by the ranges of the Pusher protocol. */
function reaction(closeCode: number): string {
  if (closeCode === closeCodes.sslOnly.code) return 'comes back at once, over TLS';
  if (closeCode < 4100) return 'gives up until the page connects again';
  if (closeCode < 4200) return 'comes back after a second';
  return 'comes back at once';
}
