import { expect } from 'chai';
import fc from 'fast-check';
import WebSocket from 'ws';
import { pongFrame, textFrame } from '../../edge/socket/websocket-frame.ts';

/** What ws itself would send; an oracle that others have tested. */
function wsFrame(payload: Buffer, opcode: number): Buffer {
  const { Sender } = WebSocket as unknown as {
    Sender: { frame(data: Buffer, options: object): Buffer[] };
  };
  return Buffer.concat(
    Sender.frame(payload, { fin: true, rsv1: false, mask: false, readOnly: true, opcode }),
  );
}

describe('textFrame', () => {
  for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]) {
    it(`frames ${length} bytes as ws does`, () => {
      const payload = Buffer.alloc(length, 'x');
      expect(textFrame(payload).equals(wsFrame(payload, 1))).to.equal(true);
    });
  }

  it('frames text and its UTF-8 bytes alike', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const bytes = Buffer.from(text, 'utf8');
        expect(textFrame(text).equals(textFrame(bytes))).to.equal(true);
        expect(textFrame(text).equals(wsFrame(bytes, 1))).to.equal(true);
      }),
    );
  });
});

describe('pongFrame', () => {
  it('carries the payload of the ping', () => {
    for (const length of [0, 4, 125]) {
      const payload = Buffer.alloc(length, 'p');
      expect(pongFrame(payload).equals(wsFrame(payload, 10))).to.equal(true);
    }
  });
});
