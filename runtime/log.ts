/** Structured logs: JSON lines on standard output, secrets redacted by key. */
import { pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** What Warren's code may do with a log: a short stable message for searching, fields beside it. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Log;
}

const secretFields = [
  'secret',
  'token',
  'auth',
  'authorization',
  'password',
  'sessionId',
  'payload',
  'data',
];

export function createLog(level: LogLevel, fields: object = {}): Log {
  return pino({
    level,
    base: fields,
    messageKey: 'message',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: secretFields.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
    serializers: { err: pino.stdSerializers.err },
  });
}
