/** What differs between two warren.yaml, as data. */

/** `breaking`: somebody stops being served. `check`: that cannot be decided here. `fine`: nobody loses anything. */
export type Verdict = 'breaking' | 'check' | 'fine';

export interface Change {
  readonly verdict: Verdict;
  /** Who is affected: pages and their users, or services that publish events and call the HTTP API. */
  readonly party: 'listeners' | 'publishers';
  /** The part of the new file, or of the old one where it is gone: `events[0] on chat.message.*`. */
  readonly subject: string;
  /** One sentence without a full stop. Never holds a secret. */
  readonly text: string;
  /** As the old file has it. */
  readonly was?: string;
  /** As the new file has it. */
  readonly is?: string;
}

export type Report = (change: Change) => void;

/** CEL is compared as text: an added `&&` narrows, an added `||` widens, the rest is for people to judge. */
export function conditionVerdict(was: string, is: string): Verdict {
  const simple = (text: string) => !text.includes('?') && !text.includes('||');
  if (is.startsWith(`${was} || `) && !is.includes('?')) return 'fine';
  if (was.startsWith(`${is} && `) && simple(was)) return 'fine';
  if (is.startsWith(`${was} && `) && simple(is)) return 'breaking';
  if (was.startsWith(`${is} || `) && !was.includes('?')) return 'breaking';
  return 'check';
}
