/** docs/settings.md, from the table that the program itself reads. */
import { scriptSettings, settingsTable } from '../runtime/settings.ts';
import { code, table } from './table.ts';

type Setting = (typeof settingsTable)[keyof typeof settingsTable];

export function settingsPage(): string {
  const rows = Object.entries(settingsTable).map(([name, setting]) => [
    code(name),
    type(setting),
    range(setting),
    defaultOf(setting),
    what(setting),
  ]);
  const scripts = Object.entries(scriptSettings).map(([name, doc]) => [code(name), doc]);
  return `<!-- Printed by \`npm run docs\` from runtime/settings.ts. Change it there. -->

# Settings

Warren reads its settings from environment variables, once, when a process starts. On a developer's machine it needs none of them:
start without, and set what you want to be different. \`bin/warren check\` reads them as \`bin/warren serve\` does and reports every
mistake at once.

${table(['Name', 'Type', 'Allowed', 'Default', 'What it does'], rows)}

## Good to know

* **An empty value counts as not set.**
* **A name that is not in the table is a mistake**, if it starts with \`WARREN_\`: Warren refuses to start and suggests the name that
  you probably meant.
* **From a file**: append \`_FILE\` to any name, and the value is read from the file that the variable names, without its final line
  break. Use it for secrets: \`WARREN_APP_SECRET_FILE=/run/secrets/app-secret\`. Setting both forms is a mistake.
* **Secrets** never appear in messages, logs or metrics.
* **Apps** are best listed in \`warren.yaml\`. Where it lists none, the three \`WARREN_APP_…\` settings describe the only one; an app
  needs all three. With no app at all Warren takes \`app-id\`, \`app-key\` and \`app-secret\`, says so loudly, and refuses to do it
  when \`NODE_ENV=production\`.
* **Kubernetes** gives pods variables such as \`WARREN_PORT=tcp://10.0.0.7:6001\` when a service is called \`warren\`. They are ignored,
  with a warning. \`enableServiceLinks: false\` in the pod spec makes them go away.

## Read by the make targets only

${table(['Name', 'What it does'], scripts)}
`;
}

function type(setting: Setting): string {
  if (setting.type === 'choice') return 'choice';
  if (setting.type === 'text') return 'secret' in setting ? 'text, secret' : 'text';
  return 'unit' in setting ? `whole number, ${setting.unit}` : 'whole number';
}

function range(setting: Setting): string {
  if (setting.type === 'choice') return setting.choices.map(code).join(', ');
  if (setting.type === 'text') return 'expected' in setting ? setting.expected : 'any';
  return `${setting.minimum} to ${setting.maximum}`;
}

function defaultOf(setting: Setting): string {
  if (!('default' in setting)) return 'none';
  return setting.default === '' ? 'empty' : code(setting.default);
}

function what(setting: Setting): string {
  return 'fallback' in setting
    ? `${setting.doc} Where it is not set, ${code(setting.fallback)} is read.`
    : setting.doc;
}
