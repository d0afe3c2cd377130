/** The payload schemas of paired rules, each pair of schemas told once for all rules that share it. */
import { isJsonObject } from '../../contracts/json-guard.ts';
import type { EventRule, EventSchema } from '../../contracts/warren-config.ts';
import type { Report } from './change.ts';
import type { RulePairs } from './rule-pairs.ts';
import { resolved } from './same-schema.ts';
import { schemaChanges } from './schema-changes.ts';
import { namesOf } from './schema-parts.ts';

interface Shared {
  readonly old: EventSchema | undefined;
  readonly next: EventSchema | undefined;
  readonly rules: EventRule[];
}

export function compareSchemas(pairs: RulePairs['pairs'], report: Report): void {
  const shared = new Map<string, Shared>();
  for (const { old, next } of pairs) {
    if (old.schema === undefined && next.schema === undefined) continue;
    const key = JSON.stringify([old.schema?.path, next.schema?.path]);
    const one = shared.get(key) ?? { old: old.schema, next: next.schema, rules: [] };
    one.rules.push(next);
    shared.set(key, one);
  }
  for (const one of shared.values()) compareOne(one, report);
}

function compareOne({ old, next, rules }: Shared, report: Report): void {
  const path = next?.path ?? old?.path ?? '';
  const subject = `${path} of ${rules.map((rule) => `events[${rule.index}]`).join(', ')}`;
  const [before, after] = [old?.document ?? true, next?.document ?? true];
  const tightened = schemaChanges(before, after);
  if (old === undefined) {
    const verdict = tightened.length === 0 ? 'fine' : 'breaking';
    const text = 'payloads were not checked and now must be what the schema asks for';
    report({ verdict, party: 'publishers', subject, text });
    return;
  }
  if (next === undefined) {
    const text = 'payloads are no longer checked';
    report({ verdict: 'fine', party: 'publishers', subject, text });
  }
  for (const { verdict, pointer, tightened: text } of tightened) {
    report({ verdict, party: 'publishers', subject, text: `${placeOf(pointer)} ${text}` });
  }
  // A projection sends only what it names, and refuses events without it.
  if (next === undefined || rules.every((rule) => rule.data !== undefined)) return;
  for (const { pointer, loosened } of schemaChanges(after, before)) {
    if (loosened === undefined) continue;
    const text = `${placeOf(pointer)} ${loosened}: clients get the payload as it is`;
    report({ verdict: 'check', party: 'listeners', subject, text });
  }
}

function placeOf(pointer: string): string {
  return pointer === '' ? 'the payload' : pointer;
}

/** True where every payload that the schema accepts has the field, as far as is decided. */
export function requires(
  schema: EventSchema | undefined,
  path: readonly string[] | undefined,
): boolean {
  if (schema === undefined || path === undefined) return false;
  let at: unknown = schema.document;
  for (const step of path) {
    const part = resolved(schema.document, at);
    if (!isJsonObject(part) || part['type'] !== 'object') return false;
    if (!namesOf(part['required']).includes(step)) return false;
    const properties = part['properties'];
    at = isJsonObject(properties) && Object.hasOwn(properties, step) ? properties[step] : true;
  }
  return true;
}
