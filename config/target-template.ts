/** Templates under `to`: a channel, a user or one socket. */
import type { Channel } from '../contracts/channel.ts';
import type { Refusal } from '../contracts/errors.ts';
import { parseSocketId } from '../contracts/ids.ts';
import { fail, ok, type Result } from '../contracts/result.ts';
import { type SocketTarget, socketTarget } from '../contracts/socket-target.ts';
import { type ChannelTemplate, compileChannelTemplate, renderChannel } from './channel-template.ts';
import { type Fields, readField, refusal } from './field.ts';
import { compileTemplate, type TemplateError, type Variable } from './template.ts';

export type TargetTemplate =
  | ChannelTemplate
  /** `socket:{data.socketId}`: the one socket that the field names. */
  | { readonly kind: 'socket'; readonly variable: Variable };

const prefix = 'socket:';

/** @param maxLength of a channel name, from the limits of the app */
export function compileTarget(
  source: string,
  maxLength: number,
): Result<TargetTemplate, TemplateError> {
  if (!source.startsWith(prefix)) return compileChannelTemplate(source, maxLength);
  const compiled = compileTemplate(source.slice(prefix.length));
  if (!compiled.ok) {
    return fail({ ...compiled.error, offset: compiled.error.offset + prefix.length });
  }
  const variable = compiled.value.alone;
  return variable === undefined
    ? fail({
        offset: 0,
        message: 'must name a socket by one field alone',
        cure: 'write socket:{data.socketId}',
      })
    : ok({ kind: 'socket', variable });
}

/** As `renderChannel`; what is no socket id is refused with `invalid_socket_id`. */
export function renderTarget(
  fields: Fields,
  target: TargetTemplate,
  maxLength: number,
): Result<Channel | SocketTarget, Refusal> {
  if (target.kind !== 'socket') return renderChannel(fields, target, maxLength);
  const { variable } = target;
  const value = readField(fields, variable);
  if (value === undefined) {
    return fail(refusal('missing_field', variable, 'is not in the event'));
  }
  // Text alone: as a number, 12.30 would be the socket 12.3.
  const socketId = parseSocketId(value);
  return socketId === undefined
    ? fail(refusal('invalid_socket_id', variable, 'is not a socket id: text of the form 123.456'))
    : ok(socketTarget(socketId));
}
