import { expect } from 'chai';
import { decodeNote, emptyNote, encodeNote } from '../../edge/delivery/session-note.ts';

describe('session notes', () => {
  it('come back as they were', () => {
    for (const note of [
      emptyNote,
      { user: 'digest', cacheChannels: ['cache-a', 'private-cache-é'] },
    ]) {
      expect(decodeNote(encodeNote(note))).to.deep.equal(note);
    }
  });

  it('fit into what the broker port takes; the oldest channels are left out', () => {
    const cacheChannels = Array.from({ length: 500 }, (_, n) => `cache-${'x'.repeat(150)}-${n}`);
    const text = encodeNote({ user: 'digest', cacheChannels });
    expect(Buffer.byteLength(text)).to.be.below(8_000);
    const kept = decodeNote(text);
    expect(kept.user).to.equal('digest');
    expect(kept.cacheChannels.length).to.be.above(10);
    expect(kept.cacheChannels).to.deep.equal(cacheChannels.slice(-kept.cacheChannels.length));
  });

  it('that are none are empty', () => {
    for (const text of [
      '',
      'x',
      'null',
      '[]',
      '{"user":1,"cacheChannels":"a"}',
      '{"cacheChannels":[1,null]}',
    ]) {
      expect(decodeNote(text), text).to.deep.equal(emptyNote);
    }
  });
});
