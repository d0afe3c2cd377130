import { expect } from 'chai';
import { parseAppId } from '../../contracts/ids.ts';
import { targetId, targetsOf } from '../../edge/webhooks/targets.ts';
import { testApp } from '../support/app.ts';

const hook = {
  url: 'https://example.com/a?secret=1',
  events: ['member_added'],
  batch: false,
} as const;

describe('targetsOf', () => {
  it('names the queue by app and URL: the same everywhere, another for each pair', () => {
    const other = parseAppId('other');
    if (other === undefined) throw new Error('not an app id');
    const ids = [
      testApp({ webhooks: [hook, { ...hook, url: 'https://example.com/a' }] }),
      testApp({ id: other, webhooks: [hook] }),
    ].flatMap((app) => targetsOf(app).map(({ id }) => id));
    expect(new Set(ids).size).to.equal(3);
    for (const id of ids) expect(id).to.match(/^[A-Za-z0-9_-]{43}$/);
    const [again] = targetsOf(testApp({ webhooks: [{ ...hook, batch: true }] }));
    expect(again?.id).to.equal(ids[0]);
  });

  it('takes no part of an app id for a part of a URL', () => {
    expect(targetId('a', 'b')).to.not.equal(targetId('ab', ''));
  });

  it('makes one target of webhooks that share a URL, so that nothing is reported twice', () => {
    const app = testApp({
      webhooks: [hook, { ...hook, events: ['member_added', 'cache_miss'], batch: true }],
    });
    const targets = targetsOf(app);
    expect(targets).to.have.length(1);
    expect([...(targets[0]?.events ?? [])]).to.deep.equal(['member_added', 'cache_miss']);
    expect(targets[0]?.batch).to.equal(true);
  });

  it('shows in logs neither path nor query nor credentials', () => {
    const app = testApp({
      webhooks: [
        { ...hook, url: 'https://user:pass@example.com:8443/hidden?secret=1' },
        { ...hook, url: 'nonsense' },
      ],
    });
    expect(targetsOf(app).map(({ origin }) => origin)).to.deep.equal([
      'https://example.com:8443',
      'not a URL',
    ]);
  });
});
