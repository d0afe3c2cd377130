/**
 * HTTP to one target: one request at a time over one kept connection, only to addresses that the policy allows. The check is made on
 * the address that is connected to, so a name that resolves differently the second time gains nothing. Proxies are not used.
 */
import { type LookupAddress, type LookupOptions, lookup } from 'node:dns';
import { type ClientRequest, Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { type SigningKey, signWebhook } from '../../contracts/pusher/signature.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { AddressPolicy } from './address-policy.ts';

export type PostOutcome =
  /** Answered with 2xx. */
  | { readonly kind: 'delivered' }
  /** It may work later. */
  | { readonly kind: 'failed'; readonly cause: FailureCause; readonly reason: string }
  /** Nothing was sent, and nothing ever will be while the configuration stays as it is. */
  | { readonly kind: 'refused'; readonly reason: string };

export type FailureCause = 'status' | 'timeout' | 'connection';

/** As `dns.lookup` with `all: true`. */
export type Resolve = (
  hostname: string,
  options: LookupOptions & { readonly all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

export interface TargetClientOptions {
  readonly url: string;
  readonly policy: AddressPolicy;
  readonly clock: Clock;
  /** For the whole exchange, name resolution to the end of the answer. */
  readonly timeoutMs: number;
  readonly resolve?: Resolve;
}

/** What is read of an answer's body so that its connection can be used again; beyond it the connection is closed. */
const maxAnswerBytes = 65_536;

class AddressRefused extends Error {}

/** The server had closed the kept connection before the request came. */
const closedBefore = 'closed-before';

export class TargetClient {
  readonly #options: TargetClientOptions;
  readonly #url: URL | undefined;
  readonly #hostname: string;
  readonly #agent: HttpAgent | HttpsAgent;
  #request: ClientRequest | undefined;

  constructor(options: TargetClientOptions) {
    this.#options = options;
    this.#url = URL.canParse(options.url) ? new URL(options.url) : undefined;
    this.#hostname = this.#url?.hostname.replace(/^\[(.*)\]$/, '$1') ?? '';
    const agentOptions = { keepAlive: true, maxSockets: 1, maxFreeSockets: 1 };
    this.#agent =
      this.#url?.protocol === 'https:' ? new HttpsAgent(agentOptions) : new HttpAgent(agentOptions);
  }

  /** One call at a time. Never rejects, and resolves within the time-out. Redirects are not followed. */
  async post(body: Buffer, headers: Readonly<Record<string, string>>): Promise<PostOutcome> {
    const { policy } = this.#options;
    if (this.#url === undefined || !/^https?:$/.test(this.#url.protocol)) {
      return { kind: 'refused', reason: 'the URL is neither http nor https' };
    }
    const literal = isIP(this.#hostname) !== 0;
    if (literal && !policy.allowsAddress(this.#hostname)) {
      return { kind: 'refused', reason: privateAddress(this.#hostname) };
    }
    try {
      const first = await this.#exchange(this.#url, body, headers);
      if (first !== closedBefore) return first;
      const second = await this.#exchange(this.#url, body, headers);
      return second === closedBefore ? connectionFailed('ECONNRESET') : second;
    } catch (error) {
      // A key that no header can hold, say. Node's message names the header, not its value.
      const text = error instanceof Error ? error.message : 'unknown';
      return { kind: 'refused', reason: `the request cannot be made: ${text}` };
    }
  }

  /** Ends a request that is under way as failed, and the kept connection. */
  close(): void {
    this.#request?.destroy();
    this.#agent.destroy();
  }

  #exchange(
    url: URL,
    body: Buffer,
    headers: Readonly<Record<string, string>>,
  ): Promise<PostOutcome | typeof closedBefore> {
    const { clock, timeoutMs } = this.#options;
    return new Promise((resolve) => {
      let outcome: PostOutcome | undefined;
      const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
        method: 'POST',
        agent: this.#agent,
        lookup: this.#lookup,
        headers: { ...headers, 'Content-Length': body.length },
      });
      this.#request = request;
      const cancel = clock.after(timeoutMs, () => {
        outcome ??= {
          kind: 'failed',
          cause: 'timeout',
          reason: `no answer within ${timeoutMs} ms`,
        };
        request.destroy();
      });
      const finish = (last: PostOutcome | typeof closedBefore) => {
        cancel();
        resolve(outcome ?? last);
      };
      request.on('response', (response) => {
        outcome ??= answered(response.statusCode ?? 0);
        let read = 0;
        response.on('data', (chunk: Buffer) => {
          read += chunk.length;
          if (read > maxAnswerBytes) request.destroy();
        });
        response.on('error', () => request.destroy());
        response.on('close', () => finish(connectionFailed('closed')));
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        const closed = request.reusedSocket && /^(ECONNRESET|EPIPE)$/.test(error.code ?? '');
        if (closed && outcome === undefined) finish(closedBefore);
        else if (error instanceof AddressRefused) {
          finish({ kind: 'refused', reason: error.message });
        } else finish(connectionFailed(error.code ?? error.name));
      });
      request.on('close', () => finish(connectionFailed('closed')));
      request.end(body);
    });
  }

  /** Hands on only the addresses that are allowed. */
  readonly #lookup: LookupFunction = (hostname, options, callback) => {
    const resolve: Resolve = this.#options.resolve ?? lookup;
    resolve(hostname, { ...options, all: true }, (error, found) => {
      const { policy } = this.#options;
      if (error !== null) {
        callback(error, '');
        return;
      }
      const allowed = policy.allowsHost(hostname)
        ? found
        : found.filter(({ address }) => policy.allowsAddress(address));
      const [first] = allowed;
      if (first === undefined) {
        const address = found[0]?.address ?? 'nothing';
        callback(new AddressRefused(privateAddress(`${hostname} (${address})`)), '');
      } else if (options.all === true) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

export function signedHeaders(app: SigningKey, body: Buffer): Record<string, string> {
  return {
    // Exactly so: Pusher's SDKs compare the whole value.
    'Content-Type': 'application/json',
    'User-Agent': 'Warren',
    'X-Pusher-Key': app.key,
    'X-Pusher-Signature': signWebhook(app.secret, body),
  };
}

function answered(status: number): PostOutcome {
  if (status >= 200 && status <= 299) return { kind: 'delivered' };
  const redirect = status >= 300 && status <= 399 ? ', redirects are not followed' : '';
  return { kind: 'failed', cause: 'status', reason: `answered ${status}${redirect}` };
}

function connectionFailed(code: string): PostOutcome {
  return { kind: 'failed', cause: 'connection', reason: `connection failed: ${code}` };
}

function privateAddress(host: string): string {
  return `${host} is not on the public internet; name the host, its address or its block in WARREN_WEBHOOK_PRIVATE_TARGETS to allow it`;
}
