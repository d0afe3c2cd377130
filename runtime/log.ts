/** Structured logs: JSON lines on standard output, secrets redacted by the name of their field and out of URLs. */
import { type Logger, pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** What Warren's code may do with a log: a short stable message for searching, fields beside it. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Log;
}

/** Fields that never reach a log, at any depth: secrets, tokens, session ids, and what clients or services sent. */
const secretField =
  /secret|token|password|authorization|cookie|^auth$|session_?id$|^payload$|^body$|^(channel|user)?_?data$/i;
const urlCredentials = /\/\/[^/\s]*@/g;
const maxDepth = 8;
const maxItems = 100;

function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return value.replace(urlCredentials, '//[redacted]@');
  if (typeof value !== 'object' || value === null) return value;
  if (depth > maxDepth) return '[too deep]';
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return value.slice(0, maxItems).map((item) => redact(item, depth + 1));
  if (value instanceof Error) return redactFields(pino.stdSerializers.err(value), depth);
  if ('toJSON' in value && typeof value.toJSON === 'function') return redact(value.toJSON(), depth);
  return redactFields(value, depth);
}

function redactFields(fields: object, depth = 0): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      secretField.test(name) ? '[redacted]' : redact(value, depth + 1),
    ]),
  );
}

/** @param destination where lines go instead of standard output; one call per line */
export function createLog(
  level: LogLevel,
  fields: object = {},
  destination: { write(line: string): void } = pino.destination({ fd: 1, sync: true }),
): Log {
  const logger = pino(
    {
      level,
      base: redactFields(fields),
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // Errors are plain objects when they come here.
      serializers: { err: (error: unknown) => error },
    },
    destination,
  );
  return guarded(logger);
}

function guarded(logger: Logger): Log {
  const line = (level: Exclude<LogLevel, 'silent'>) => (fields: object, message: string) => {
    if (logger.isLevelEnabled(level)) logger[level](redactFields(fields), message);
  };
  return {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: (fields) => guarded(logger.child(redactFields(fields))),
  };
}
