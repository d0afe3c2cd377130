/** `unsubscribe` and `disconnect` of the rules under `events`, checked for meaning. */
import type { AppConfig } from '../contracts/warren-config.ts';
import { compileChannelTemplate } from './channel-template.ts';
import type { Path, Problem } from './problems.ts';
import type { Source } from './source.ts';
import { compileUserTemplate } from './user-template.ts';

export interface RawRevocations {
  readonly unsubscribe?: { readonly user?: string; readonly channel?: string };
  readonly disconnect?: string;
}

export function revocationProblems(
  source: Source,
  path: Path,
  { unsubscribe, disconnect }: RawRevocations,
  app: AppConfig | undefined,
): readonly Problem[] {
  const problems: Problem[] = [];
  const users: readonly (readonly [Path, string | undefined])[] = [
    [[...path, 'unsubscribe', 'user'], unsubscribe?.user],
    [[...path, 'disconnect'], disconnect],
  ];
  for (const [at, template] of users) {
    if (template === undefined) continue;
    const user = compileUserTemplate(template);
    if (!user.ok) problems.push(source.problem(at, user.error.message, user.error));
  }
  if (unsubscribe?.channel === undefined) return problems;
  const at = [...path, 'unsubscribe', 'channel'];
  const channel = compileChannelTemplate(unsubscribe.channel, app?.limits.channelNameLength ?? 200);
  if (!channel.ok) problems.push(source.problem(at, channel.error.message, channel.error));
  else if (channel.value.kind === 'user') {
    const message =
      'names the channel of a user, which is open to whoever is signed in as that user';
    problems.push(source.problem(at, message, { cure: "write  disconnect: '{data.userId}'" }));
  }
  return problems;
}

/** What works, and hardly as it was meant. */
export function revocationWarnings(
  source: Source,
  path: Path,
  { unsubscribe }: RawRevocations,
): readonly Problem[] {
  if (unsubscribe?.channel === undefined) return [];
  const channel = compileChannelTemplate(unsubscribe.channel, 200);
  if (!channel.ok || channel.value.kind !== 'mixed') return [];
  if (channel.value.skeleton.requiresAuthorization) return [];
  const message = 'is a public channel: whoever is taken off it may subscribe again';
  return [source.problem([...path, 'unsubscribe', 'channel'], message)];
}
