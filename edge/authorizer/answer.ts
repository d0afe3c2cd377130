/** What an authorizer's HTTP answer means: 200 with `{"allow": true}` is yes, and nothing else is. */
import { isJsonObject, maxJsonDepth, nestsDeeperThan, own } from '../../contracts/json-guard.ts';
import type { Exchanged } from '../exchange.ts';

export type Answer =
  | { readonly kind: 'allowed'; readonly userInfo?: Readonly<Record<string, unknown>> }
  /** It said no. */
  | { readonly kind: 'refused' }
  /** It said something else, which is no, and something to mend. */
  | { readonly kind: 'malformed'; readonly reason: string };

/** It may answer later. */
export interface Outage {
  readonly kind: 'timeout' | 'connection' | 'status';
  readonly reason: string;
}

export const maxAnswerBytes = 65_536;

export function readAnswer(exchanged: Exchanged): Answer | Outage {
  switch (exchanged.kind) {
    case 'timeout':
      return { kind: 'timeout', reason: 'no answer in time' };
    case 'connection':
      return { kind: 'connection', reason: `connection failed: ${exchanged.code}` };
    case 'too_large':
      return malformed(`the answer has more than ${maxAnswerBytes} bytes`);
  }
  const { status, body } = exchanged;
  if (status >= 500 || status === 429) return { kind: 'status', reason: `answered ${status}` };
  if (status !== 200) {
    const redirect = status >= 300 && status <= 399 ? ', redirects are not followed' : '';
    return malformed(`answered ${status}, and only 200 is read${redirect}`);
  }
  const value = parse(body);
  if (!isJsonObject(value)) return malformed('the answer is not a JSON object');
  const allow = own(value, 'allow');
  if (allow === false) return { kind: 'refused' };
  if (allow !== true) return malformed('"allow" is neither true nor false');
  const userInfo = own(value, 'userInfo');
  if (userInfo === undefined || userInfo === null) return { kind: 'allowed' };
  return isJsonObject(userInfo)
    ? { kind: 'allowed', userInfo }
    : malformed('"userInfo" is not a JSON object');
}

export function isOutage(answer: Answer | Outage): answer is Outage {
  return ['timeout', 'connection', 'status'].includes(answer.kind);
}

function parse(body: Buffer): unknown {
  if (nestsDeeperThan(body, maxJsonDepth)) return undefined;
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

function malformed(reason: string): Answer {
  return { kind: 'malformed', reason };
}
