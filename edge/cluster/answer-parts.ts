/** What this edge answers, cut into parts that are small enough for one message each. */
import type { Answer, ChannelAnswer, Question } from '../../contracts/edge-message.ts';
import type { LocalState } from './port.ts';

/** Of one part; its bytes are the rough size of its texts. */
const maxPartChannels = 500;
const maxPartBytes = 256 * 1_024;
/** A user id in JSON with its quotes and comma; a channel with its number and brackets. */
const userBytes = 3;
const channelBytes = 24;

export function answerParts(
  id: number,
  question: Question,
  local: LocalState,
): readonly [Answer, ...Answer[]] {
  if (question.about === 'terminate') {
    const closed = local.terminate(question.app, question.user);
    return [{ type: 'answer', id, last: true, channels: [], closed }];
  }
  const { app, prefix, names, users } = question;
  const query = { app, prefix, users, ...(names === null ? {} : { names }) };
  const parts: ChannelAnswer[][] = [[]];
  let bytes = 0;
  const add = (channel: ChannelAnswer, size: number) => {
    let part = parts[parts.length - 1];
    const isFull = part === undefined || part.length >= maxPartChannels;
    if (part === undefined || isFull || (part.length > 0 && bytes + size > maxPartBytes)) {
      part = [];
      parts.push(part);
      bytes = 0;
    }
    part.push(channel);
    bytes += size;
  };
  for (const [name, { subscriptions, users: found }] of local.channels(query)) {
    const size = 3 * name.length + channelBytes;
    if (found === undefined) add([name, subscriptions, null], size);
    else {
      // The subscriptions of a channel are in its first piece only, because pieces add up.
      for (const [index, piece] of pieces(found).entries()) {
        add([name, index === 0 ? subscriptions : 0, piece.users], size + piece.bytes);
      }
    }
  }
  const answers = parts.map(
    (channels, index): Answer => ({
      type: 'answer',
      id,
      last: index === parts.length - 1,
      channels,
      closed: 0,
    }),
  );
  return answers as [Answer, ...Answer[]];
}

function pieces(users: ReadonlySet<string>): readonly { users: string[]; bytes: number }[] {
  let piece = { users: [] as string[], bytes: 0 };
  const all = [piece];
  for (const user of users) {
    // Three bytes a UTF-16 unit is the most that UTF-8 takes.
    const size = 3 * user.length + userBytes;
    if (piece.users.length > 0 && piece.bytes + size > maxPartBytes / 2) {
      piece = { users: [], bytes: 0 };
      all.push(piece);
    }
    piece.users.push(user);
    piece.bytes += size;
  }
  return all;
}
