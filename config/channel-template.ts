/** Templates that yield channel names. Whatever the data holds, the channel is one that the template's author meant. */
import { type Channel, parseChannel, serverToUserChannel } from '../contracts/channel.ts';
import type { Refusal } from '../contracts/errors.ts';
import { fail, ok, type Result } from '../contracts/result.ts';
import type { Fields } from './field.ts';
import { renderSegments } from './segments.ts';
import { compileTemplate, type Template, type TemplateError } from './template.ts';

export type ChannelTemplate =
  /** `private-chat.{data.roomId}`: every value is one segment; `skeleton` is the channel with `x` for each of them. */
  | { readonly kind: 'mixed'; readonly template: Template; readonly skeleton: Channel }
  /** `{data.channel}`: the value is a whole channel name. */
  | { readonly kind: 'whole'; readonly template: Template }
  /** `user:{data.userId}`: the channel of one signed-in user. */
  | { readonly kind: 'user'; readonly template: Template };

/** @param maxLength of a channel name, from the limits of the app */
export function compileChannelTemplate(
  source: string,
  maxLength: number,
): Result<ChannelTemplate, TemplateError> {
  if (source.startsWith('socket:')) {
    return fail({ offset: 0, message: 'names a socket, and only a channel can stand here' });
  }
  if (source.startsWith('user:')) return compileUser(source);
  const compiled = compileTemplate(source);
  if (!compiled.ok) return compiled;
  const template = compiled.value;
  if (template.alone !== undefined) return ok({ kind: 'whole', template });
  const sample = template.parts.map((part) => (typeof part === 'string' ? part : 'x')).join('');
  const skeleton = parseChannel(sample, maxLength);
  if (!skeleton.ok) {
    return fail({ offset: 0, message: `can never be a channel name: ${skeleton.error.text}` });
  }
  if (skeleton.value.kind === 'server-to-user') {
    return fail({
      offset: 0,
      message: 'names the channel of a user by its inner name',
      cure: 'write user:{data.userId}',
    });
  }
  return ok({ kind: 'mixed', template, skeleton: skeleton.value });
}

function compileUser(source: string): Result<ChannelTemplate, TemplateError> {
  const prefix = 'user:'.length;
  const compiled = compileTemplate(source.slice(prefix));
  if (!compiled.ok) {
    return fail({ ...compiled.error, offset: compiled.error.offset + prefix });
  }
  if (compiled.value.parts.length === 0) {
    return fail({ offset: 0, message: 'names no user', cure: 'write user:{data.userId}' });
  }
  return ok({ kind: 'user', template: compiled.value });
}

/**
 * The channel for an event. Refused, never rewritten: a value beside other text that is not one segment (`invalid_segment`), a
 * name that is not legal (`invalid_channel`), a value that would change the kind of the channel, such as `cache-1` in
 * `private-{data.id}` (`invalid_channel`), and what `fieldText` refuses.
 */
export function renderChannel(
  fields: Fields,
  target: ChannelTemplate,
  maxLength: number,
): Result<Channel, Refusal> {
  const name = renderSegments(fields, target.template, 'a channel name');
  if (!name.ok) return name;
  const channel =
    target.kind === 'user' ? serverToUserChannel(name.value) : parseChannel(name.value, maxLength);
  if (!channel.ok) return fail({ code: 'invalid_channel', text: channel.error.text });
  if (target.kind === 'mixed' && !isSameKind(channel.value, target.skeleton)) {
    return fail({
      code: 'invalid_channel',
      text: `the data would turn the channel of ${target.template.source} into one of another kind`,
    });
  }
  return channel;
}

function isSameKind(left: Channel, right: Channel): boolean {
  return (
    left.kind === right.kind && left.cache === right.cache && left.encrypted === right.encrypted
  );
}
