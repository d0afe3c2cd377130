/** One HTTP request to a service that the operator named, and its whole answer: bounded in time and size, redirects not followed. */
import { type Agent as HttpAgent, request as httpRequest } from 'node:http';
import { type Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Clock } from '../runtime/clock.ts';

export interface ExchangeOptions {
  readonly url: URL;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Of the kind that the URL needs; the caller destroys it. */
  readonly agent: HttpAgent | HttpsAgent;
  readonly clock: Clock;
  /** From name resolution to the end of the answer. */
  readonly timeoutMs: number;
  /** Of the answer's body; what is longer is not read. */
  readonly maxAnswerBytes: number;
}

export type Exchanged =
  | { readonly kind: 'answer'; readonly status: number; readonly body: Buffer }
  | { readonly kind: 'too_large' }
  | { readonly kind: 'timeout' }
  /** @property code of the socket, as ECONNREFUSED */
  | { readonly kind: 'connection'; readonly code: string };

/** Never rejects, and resolves within the time-out. */
export async function exchange(options: ExchangeOptions): Promise<Exchanged> {
  const deadlineMs = options.clock.monotonicMs() + options.timeoutMs;
  const first = await attempt(options, options.timeoutMs);
  if (first !== 'closed-before') return first;
  // The server had closed the kept connection before the request came: nothing of it was worked on.
  const leftMs = Math.max(1, deadlineMs - options.clock.monotonicMs());
  const second = await attempt(options, leftMs);
  return second === 'closed-before' ? { kind: 'connection', code: 'ECONNRESET' } : second;
}

function attempt(
  options: ExchangeOptions,
  timeoutMs: number,
): Promise<Exchanged | 'closed-before'> {
  const { url, method, headers, body, agent, clock, maxAnswerBytes } = options;
  return new Promise((resolve) => {
    let done = false;
    const make = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = make(url, {
      method,
      agent,
      headers: { ...headers, ...(body === undefined ? {} : { 'Content-Length': body.length }) },
    });
    const finish = (result: Exchanged | 'closed-before') => {
      if (done) return;
      done = true;
      cancel();
      resolve(result);
    };
    const cancel = clock.after(timeoutMs, () => {
      finish({ kind: 'timeout' });
      request.destroy();
    });
    let answering = false;
    request.on('response', (response) => {
      answering = true;
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > maxAnswerBytes) {
          finish({ kind: 'too_large' });
          request.destroy();
        } else chunks.push(chunk);
      });
      response.on('end', () => {
        if (response.complete) {
          finish({
            kind: 'answer',
            status: response.statusCode ?? 0,
            body: Buffer.concat(chunks),
          });
        }
      });
      response.on('error', () => finish({ kind: 'connection', code: 'ECONNRESET' }));
      response.on('close', () => finish({ kind: 'connection', code: 'ECONNRESET' }));
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? error.name;
      const closed = request.reusedSocket && !answering && /^(ECONNRESET|EPIPE)$/.test(code);
      finish(closed ? 'closed-before' : { kind: 'connection', code });
    });
    request.on('close', () => {
      if (!answering) finish({ kind: 'connection', code: 'ECONNRESET' });
    });
    request.end(body);
  });
}
