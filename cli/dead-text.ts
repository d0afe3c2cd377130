/** Dead letters as people read them in a terminal. What a letter holds is never printed raw: it may drive the terminal. */
import { printable } from '../config/problems.ts';
import type { DeadLetter } from '../contracts/dead-letter.ts';
import { isoTime } from '../runtime/clock.ts';

/** A letter without its body, for lists. */
export interface DeadLetterLine {
  readonly id: string;
  /** Milliseconds since 1970; absent where nobody said when. */
  readonly atMs?: number;
  readonly code: string;
  readonly reason: string;
  readonly key: string;
  readonly bytes: number;
  readonly messageId?: string;
}

const maxKeyLength = 60;
const maxBodyLength = 4_000;
const maxHeadersLength = 2_000;
const maxHexBytes = 256;

export function letterLine({ id, atMs, code, reason, event }: DeadLetter): DeadLetterLine {
  return {
    id,
    ...(atMs === undefined ? {} : { atMs }),
    code,
    reason,
    key: event.routingKey,
    bytes: event.body.length,
    ...(event.messageId === undefined ? {} : { messageId: event.messageId }),
  };
}

/** Times as ISO 8601. */
export function lineJson({ id, atMs, ...more }: DeadLetterLine): object {
  return { id, ...(atMs === undefined ? {} : { at: isoTime(atMs) }), ...more };
}

/** In the order given. */
export function listText(letters: readonly DeadLetterLine[], nowMs: number): string {
  const rows = letters.map(({ id, atMs, code, key, bytes }) => [
    id,
    atMs === undefined ? '?' : ageText(nowMs - atMs),
    cut(printable(code), 30),
    cut(printable(key), maxKeyLength),
    sizeText(bytes),
  ]);
  const table = [['id', 'age', 'reason', 'routing key', 'size'], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) =>
    table.reduce((width, row) => Math.max(width, (row[column] ?? '').length), 0),
  );
  const lines = table.map((row) =>
    row
      .map((cell, column) =>
        column === 1 || column === 4
          ? cell.padStart(widths[column] ?? 0)
          : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** `3 letters: 2 missing_field, 1 invalid_json`, the most frequent first. */
export function countsText(counts: ReadonlyMap<string, number>): string {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const each = [...counts]
    .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .map(([code, count]) => `${count} ${printable(code)}`);
  return `${lettersText(total)}${each.length === 0 ? '' : `: ${each.join(', ')}`}\n`;
}

export function lettersText(count: number): string {
  return `${count} ${count === 1 ? 'letter' : 'letters'}`;
}

export function letterText({ id, atMs, reason, event }: DeadLetter, nowMs: number): string {
  const headers = JSON.stringify(event.headers);
  const properties = [
    ['message id', event.messageId],
    ['type', event.type],
    ['content type', event.contentType],
    ['encoding', event.contentEncoding],
  ] as const;
  const lines = [
    `letter        ${id}`,
    `refused       ${atMs === undefined ? 'nobody said when' : `${isoTime(atMs)}  (${ageText(nowMs - atMs)} ago)`}`,
    `reason        ${reason}`,
    `routing key   ${event.routingKey}`,
    `exchange      ${event.exchange === '' ? '(default)' : event.exchange}`,
    ...properties.flatMap(([name, value]) =>
      value === undefined ? [] : [`${name.padEnd(12)}  ${value}`],
    ),
    `headers       ${headers === '{}' ? 'none' : cut(headers, maxHeadersLength)}`,
  ].map(printable);
  return `${lines.join('\n')}\n\nbody, ${sizeText(event.body.length)}\n${bodyText(event.body)}\n`;
}

/** UTF-8 line by line with control characters escaped, anything else as hexadecimal; cut where it is long. */
export function bodyText(body: Buffer): string {
  if (body.length === 0) return '  (empty)';
  const head = body.subarray(0, maxBodyLength);
  const whole = head.length === body.length;
  let text: string;
  try {
    // A cut may fall into the middle of a character.
    text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: !whole });
  } catch {
    const hex = body.subarray(0, maxHexBytes).toString('hex');
    return `  not UTF-8: ${hex}${body.length > maxHexBytes ? '…' : ''}`;
  }
  const lines = text.split(/\r?\n/).map((line) => `  ${printable(line)}`);
  return `${lines.join('\n')}${whole ? '' : `\n  … (${body.length - maxBodyLength} bytes more)`}`;
}

function ageText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

function sizeText(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1_000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
