/** `unsubscribe` and `disconnect` of a rule at work: whom an event takes off a channel, and whom it disconnects. */
import {
  type ChannelTemplate,
  compileChannelTemplate,
  renderChannel,
} from '../config/channel-template.ts';
import type { Fields } from '../config/field.ts';
import type { Template } from '../config/template.ts';
import { compileUserTemplate, renderUser } from '../config/user-template.ts';
import type { Channel } from '../contracts/channel.ts';
import type { Refusal } from '../contracts/errors.ts';
import type { AppId } from '../contracts/ids.ts';
import type { RevocationInput } from '../contracts/publication.ts';
import { fail, ok, type Result } from '../contracts/result.ts';
import type { EventRule } from '../contracts/warren-config.ts';

/** A user is taken off a channel. */
export interface Revoked {
  readonly kind: 'unsubscribe';
  readonly rule: EventRule;
  readonly channel: Channel;
  readonly revocation: RevocationInput;
}

/** Every socket that is known to be the user's is closed. */
export interface Disconnected {
  readonly kind: 'disconnect';
  readonly rule: EventRule;
  readonly app: AppId;
  readonly user: string;
}

export interface CompiledRevocations {
  readonly unsubscribe:
    | {
        readonly user: Template;
        readonly channel: ChannelTemplate;
        readonly maxChannelLength: number;
      }
    | undefined;
  readonly disconnect: Template | undefined;
}

/** @throws Error on a rule that was not checked: `loadConfig` lets none through */
export function compileRevocations(
  { index, unsubscribe, disconnect }: EventRule,
  maxChannelLength: number,
): CompiledRevocations {
  const compiled = <T>(result: Result<T, unknown>): T => {
    if (result.ok) return result.value;
    throw new Error(`events[${index}] was not checked: ${JSON.stringify(result.error)}`);
  };
  return {
    unsubscribe:
      unsubscribe === undefined
        ? undefined
        : {
            user: compiled(compileUserTemplate(unsubscribe.user)),
            channel: compiled(compileChannelTemplate(unsubscribe.channel, maxChannelLength)),
            maxChannelLength,
          },
    disconnect: disconnect === undefined ? undefined : compiled(compileUserTemplate(disconnect)),
  };
}

/** What a rule does to a user, in order, or which of its keys refuses the event. */
export function revocationsOf(
  rule: EventRule,
  { unsubscribe, disconnect }: CompiledRevocations,
  fields: Fields,
): Result<
  readonly (Revoked | Disconnected)[],
  { readonly key: string; readonly refusal: Refusal }
> {
  const actions: (Revoked | Disconnected)[] = [];
  if (unsubscribe !== undefined) {
    const user = renderUser(fields, unsubscribe.user);
    if (!user.ok) return fail({ key: 'unsubscribe.user', refusal: user.error });
    const channel = renderChannel(fields, unsubscribe.channel, unsubscribe.maxChannelLength);
    if (!channel.ok) return fail({ key: 'unsubscribe.channel', refusal: channel.error });
    const { traceparent, tracestate } = fields.event;
    actions.push({
      kind: 'unsubscribe',
      rule,
      channel: channel.value,
      revocation: {
        appId: rule.app,
        channel: channel.value.name,
        user: user.value,
        ...(traceparent === undefined ? {} : { traceparent }),
        ...(tracestate === undefined ? {} : { tracestate }),
      },
    });
  }
  if (disconnect !== undefined) {
    const user = renderUser(fields, disconnect);
    if (!user.ok) return fail({ key: 'disconnect', refusal: user.error });
    actions.push({ kind: 'disconnect', rule, app: rule.app, user: user.value });
  }
  return ok(actions);
}
