/**
 * Checks the arrows between the folders of the working directory against this repository's .dependency-cruiser.cjs.
 * Exits 1 on any violation, and also where modules were missed: with a compiler that it cannot use, dependency-cruiser sees no
 * module at all and reports that everything is fine.
 */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { cruise } from 'dependency-cruiser';
import extractOptions from 'dependency-cruiser/config-utl/extract-depcruise-options';
import extractTsConfig from 'dependency-cruiser/config-utl/extract-ts-config';

const folders = [
  'contracts',
  'runtime',
  'broker',
  'config',
  'router',
  'edge',
  'cli',
  'docs',
  'examples',
  'bench',
  'test',
].filter((folder) => existsSync(folder));

const say = (line) => process.stdout.write(`${line}\n`);

function sourcesIn(folder) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => `${folder}/${path.replaceAll('\\', '/')}`)
    .filter((path) => path.endsWith('.ts') && !path.includes('/node_modules/'));
}

const sources = folders.flatMap(sourcesIn);
if (sources.length === 0) {
  say('arrows: no module was found to check');
  process.exit(1);
}

const rules = fileURLToPath(new URL('../../.dependency-cruiser.cjs', import.meta.url));
const options = await extractOptions(rules);
const { output } = await cruise(folders, options, undefined, {
  tsConfig: extractTsConfig('tsconfig.json'),
});

const seen = new Set(output.modules.map((module) => module.source));
const missed = sources.filter((path) => !seen.has(path));
const { violations, totalCruised, totalDependenciesCruised } = output.summary;

for (const { rule, from, to, cycle } of violations) {
  const road = cycle === undefined ? to : cycle.map((step) => step.name).join(' → ');
  say(`arrows: ${rule.severity} ${rule.name}: ${from}${road === from ? '' : ` → ${road}`}`);
}
if (missed.length > 0) {
  say(
    `arrows: ${missed.length} of ${sources.length} modules were not seen, among them ${missed[0]}`,
  );
}
say(
  `arrows: ${totalCruised} modules, ${totalDependenciesCruised} imports, ${violations.length} violations`,
);
process.exitCode = violations.length > 0 || missed.length > 0 ? 1 : 0;
