/** Two contracts compared: what the newer one takes away from those who rely on the older. Pure. */
import type { WarrenConfig } from '../../contracts/warren-config.ts';
import { compareApps, compareAuth } from './apps.ts';
import type { Change, Verdict } from './change.ts';
import { compareChannelRules } from './channel-rules.ts';
import { compareEventRules } from './event-rules.ts';

const order: readonly Verdict[] = ['breaking', 'check', 'fine'];

/** The gravest first; of equals, those of apps, event rules, channel rules and auth, in this order. */
export function compareContracts(before: WarrenConfig, after: WarrenConfig): readonly Change[] {
  const changes: Change[] = [];
  const report = (change: Change) => void changes.push(change);
  const kept = new Set(after.apps.map(({ id }) => id));
  // Rules of an app that is gone went with it; the app says so.
  const stays = (rule: { readonly app: string }) => kept.has(rule.app as never);
  compareApps(before.apps, after.apps, report);
  compareEventRules(before.events.filter(stays), after.events, report);
  compareChannelRules(before.channels.filter(stays), after.channels, report);
  compareAuth(before.auth, after.auth, report);
  return changes.sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict));
}
