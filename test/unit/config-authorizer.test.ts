import { expect } from 'chai';
import { loadConfig } from '../../config/load.ts';
import { compileMember } from '../../config/member.ts';
import { explainEvent } from '../../router/explain.ts';

const load = (channel: object) =>
  loadConfig(
    JSON.stringify({
      events: [{ on: '#', to: 'private-chat.1' }],
      channels: [{ name: 'private-chat.{id}', ...channel }],
    }),
    { path: 'warren.yaml', production: false },
  );
const told = (channel: object) => {
  const result = load(channel);
  return (result.ok ? [] : result.problems).map(({ path, message }) => `${path} ${message}`);
};
const url = 'http://127.0.0.1:9001/authorize';

describe('channels[].authorizer', () => {
  it('is a URL, or a map with one and how it is asked', () => {
    const read = (authorizer: unknown) => {
      const result = load({ authorizer });
      return result.ok ? result.config.channels[0]?.authorizer : result.problems;
    };
    const plain = {
      url,
      timeoutMs: 3_000,
      concurrency: 20,
      cacheSeconds: 0,
      refusalCacheSeconds: 0,
    };
    expect(read(url)).to.deep.equal(plain);
    expect(read({ url, cacheSeconds: 30 })).to.deep.equal({ ...plain, cacheSeconds: 30 });
  });

  it('is https, or http within private networks', () => {
    for (const good of [
      'https://a.example/x?y=z',
      'http://auth/x',
      'http://10.0.0.1/',
      'http://[::1]/',
    ]) {
      expect(told({ authorizer: good }), good).to.deep.equal([]);
    }
    expect(
      [
        'http://a.example/',
        'ftp://a/',
        'a',
        'https://u:p@a.example/',
        'https://a.example/#x',
      ].flatMap((bad) => told({ authorizer: bad })),
    ).to.deep.equal([
      'channels[0].authorizer is http to a public host, so whoever sits in between could let anybody in',
      'channels[0].authorizer is not an http or https URL',
      'channels[0].authorizer is not an http or https URL',
      'channels[0].authorizer holds credentials, which are not sent',
      'channels[0].authorizer holds a fragment, which is never sent',
    ]);
  });

  it('tells what is wrong in the map', () => {
    expect(told({ authorizer: { url: 'x' } })).to.deep.equal([
      'channels[0].authorizer.url is not an http or https URL',
    ]);
    expect(told({ authorizer: { cacheSeconds: 1 } })).to.deep.equal([
      'channels[0].authorizer has no "url"',
    ]);
    expect(told({ authorizer: { url, cacheSecond: 1, timeoutMs: 1 } })).to.have.members([
      'channels[0].authorizer.cacheSecond is not a known key; did you mean "cacheSeconds"?',
      'channels[0].authorizer.timeoutMs must be from 100 to 20000, not 1',
    ]);
    expect(told({ authorizer: 5 })).to.deep.equal([
      'channels[0].authorizer must be text or a map of keys, not a number',
    ]);
  });

  it('warns where no token can be checked, and stands on no public channel', () => {
    expect(
      load({ authorizer: url })
        .warnings.map(({ message }) => message)
        .join(),
    ).to.contain('needs auth.jwt');
    const [problem] = told({ name: 'ticker.{x}', authorizer: url, delivery: 'edge' });
    expect(problem).to.contain('is a public channel');
  });

  it('is named by explain, without what may protect it', () => {
    const guardOf = (rule: object) => {
      const result = load(rule);
      if (!result.ok) throw new Error('refused');
      const event = { exchange: 'domain.events', routingKey: 'x', body: Buffer.from('{}') };
      const explained = explainEvent(
        { ...event, headers: {}, properties: {} } as never,
        result.config,
      );
      return explained.publications[0]?.guard?.allow;
    };
    expect(guardOf({ authorizer: `${url}?key=hidden` })).to.equal(
      'whom http://127.0.0.1:9001 lets in',
    );
    expect(guardOf({ authorizer: url, allow: 'true' })).to.equal(
      'true, and then whom http://127.0.0.1:9001 lets in',
    );
  });
});

describe('channels[].member', () => {
  it('is for presence channels that somebody may join, and made of claims', () => {
    const presence = { name: 'presence-{x}', allow: 'true' };
    expect(told({ ...presence, member: { name: '{claims.name}' } })).to.deep.equal([]);
    expect(told({ allow: 'true', member: { name: 'x' } })).to.deep.equal([
      'channels[0].member is for presence channels, and this name is of others',
    ]);
    expect(told({ name: 'presence-{x}', presenceGraceMs: 5, member: { name: 'x' } })).to.deep.equal(
      ['channels[0].member is for whom this rule lets in, and it lets nobody in'],
    );
    expect(told({ ...presence, member: {} })).to.deep.equal(['channels[0].member is an empty map']);
    const wrong = { a: '{name}', b: '{claims}', c: '{claims.x', d: 'x}', e: '{claims.__proto__}' };
    expect(told({ ...presence, member: wrong })).to.deep.equal([
      'channels[0].member.a does not know {name}',
      'channels[0].member.b does not know {claims}',
      'channels[0].member.c has a { without }',
      'channels[0].member.d has a } without {',
      'channels[0].member.e does not know {claims.__proto__}',
    ]);
  });

  it('keeps the type of a claim alone, makes text of mixed ones, and leaves out what is not there', () => {
    const compiled = compileMember({
      age: '{claims.age}',
      roles: '{claims.roles}',
      first: '{claims.roles.0}',
      length: '{claims.roles.length}',
      city: '{claims.address.city}',
      text: '{{{claims.name}}} is {claims.age}',
      none: '{claims.missing}',
      mixed: 'hello {claims.missing}',
      list: 'roles {claims.roles}',
      nothing: '{claims.null}',
      own: '{claims.toString}',
    });
    if (!compiled.ok) throw new Error('does not compile');
    const claims = { age: 36, roles: ['a'], name: 'Ada', address: { city: 'London' }, null: null };
    expect(compiled.value.render(claims)).to.deep.equal({
      age: 36,
      roles: ['a'],
      first: 'a',
      city: 'London',
      text: '{Ada} is 36',
      nothing: null,
    });
  });
});
