import { expect } from 'chai';
import { loadConfig } from '../../config/load.ts';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import { webhookEventNames } from '../../contracts/pusher/webhook.ts';
import schema from '../../contracts/warren.schema.json' with { type: 'json' };

interface Part {
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Part>>;
  readonly $ref?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

const definitions: Readonly<Record<string, Part>> = schema.$defs;

const resolved = (part: Part): Part =>
  part.$ref === undefined ? part : (definitions[part.$ref.replace('#/$defs/', '')] ?? {});

describe('warren.schema.json', () => {
  const maps: readonly (readonly [string, Part])[] = [
    ['root', schema as Part],
    ...Object.entries(definitions),
  ];
  for (const [name, map] of maps) {
    it(`describes every key of ${name} and gives an example, for editors to show`, () => {
      for (const [key, part] of Object.entries(map.properties ?? {})) {
        const { description = '', examples = [] } = resolved(part);
        expect(description.length, `${name}.${key}`).to.be.above(10);
        expect(examples.length, `${name}.${key}`).to.be.above(0);
      }
    });
  }

  it('knows every limit, and says its default', () => {
    const limits = resolved(definitions['limits'] ?? {}).properties ?? {};
    expect(Object.keys(limits).sort()).to.deep.equal(Object.keys(defaultLimits).sort());
    for (const [name, value] of Object.entries(defaultLimits)) {
      expect(limits[name]?.description, name).to.contain(`Default ${String(value)}.`);
    }
  });

  it('knows every webhook event', () => {
    expect(schema.$defs.webhook.properties.events.items.enum).to.deep.equal(webhookEventNames);
  });

  it('gives examples of app, webhook and limits that the loader accepts', () => {
    const tried = (app: object) => {
      const text = JSON.stringify({ apps: [{ id: 'a', key: 'k', secret: 's', ...app }] });
      const result = loadConfig(text, { path: 'warren.yaml', production: false });
      expect(result.ok ? [] : result.problems, text).to.deep.equal([]);
    };
    const examplesOf = (definition: string) =>
      Object.entries(definitions[definition]?.properties ?? {}).flatMap(([key, part]) =>
        (resolved(part).examples ?? []).map((example) => ({ [key]: example })),
      );
    for (const example of examplesOf('app')) if (!('secretFile' in example)) tried(example);
    for (const example of examplesOf('limits')) tried({ limits: example });
    for (const example of examplesOf('webhook')) {
      tried({ webhooks: [{ url: 'https://example.com', ...example }] });
    }
  });

  it('takes each limit at both ends of its range and not beyond', () => {
    const limits = definitions['limits']?.properties ?? {};
    for (const [name, part] of Object.entries(limits)) {
      const { minimum = Number.NaN, maximum = Number.NaN } = part;
      const refused = [minimum - 1, minimum, maximum, maximum + 1].filter((value) => {
        const text = JSON.stringify({
          apps: [{ id: 'a', key: 'k', secret: 's', limits: { [name]: value } }],
        });
        return !loadConfig(text, { path: 'warren.yaml', production: false }).ok;
      });
      expect(refused, name).to.deep.equal([minimum - 1, maximum + 1]);
      expect(defaultLimits[name as keyof typeof defaultLimits], name).to.be.within(
        minimum,
        maximum,
      );
    }
  });

  it('gives examples of rules that the loader accepts', () => {
    for (const [list, definition] of [
      ['events', 'eventRule'],
      ['channels', 'channelRule'],
    ] as const) {
      const properties = definitions[definition]?.properties ?? {};
      for (const [key, part] of Object.entries(properties)) {
        if (key === 'app') continue;
        for (const example of part.examples ?? []) {
          const base =
            list === 'events'
              ? { on: 'x', to: 'y' }
              : { name: 'presence-{room}.{id}', allow: 'true' };
          const text = JSON.stringify({ [list]: [{ ...base, [key]: example }] });
          const readFile = () => '{}';
          const result = loadConfig(text, { path: 'warren.yaml', production: false, readFile });
          expect(result.ok ? [] : result.problems, text).to.deep.equal([]);
        }
      }
    }
  });
});
