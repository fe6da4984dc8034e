// npm run bench:report: makes the README's performance section, RESULTS.md and the plots from the checked-in results.
import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

import { plots } from './charts';
import { type MachineResults, readMachines, resultsFolder } from './machines';
import { summaryTable } from './summary';
import { conditions, machineSection } from './tables';

const root = join(__dirname, '../..');
const readme = join(root, 'README.md');
const BEGIN = '<!-- benchmarks: made by `npm run bench:report` -->';
const END = '<!-- end of benchmarks -->';

/** The text between the markers of the README: the newest machine's plots, and the means of all. */
function performanceSection(machines: readonly MachineResults[], images: readonly string[]): string {
  const [newest] = machines;
  const folder = relative(root, join(resultsFolder, newest.folder)).split(sep).join('/');
  const shown = images.map((file) => `![${file.replace('.svg', '')}](${folder}/${file})`);
  return [conditions(newest), ...shown, summaryTable(machines)].join('\n\n');
}

/** The README with the section as the results have it now; prettier aligns its tables afterwards. */
function updatedReadme(machines: readonly MachineResults[], images: readonly string[]): string {
  const text = readFileSync(readme, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`README.md lacks the markers ${BEGIN} and ${END}`);
  return `${text.slice(0, begin)}${BEGIN}\n\n${performanceSection(machines, images)}\n\n${text.slice(end)}`;
}

/** Every file that is made from the results, by its path. */
export function reportFiles(): Map<string, string> {
  const machines = readMachines();
  const drawn = machines.map(plots);
  const details = [
    '# Results of the benchmarks',
    'Made by `npm run bench:report`; the README says how it is measured.',
    ...machines.map(machineSection),
  ];
  const files = new Map([
    [readme, updatedReadme(machines, Object.keys(drawn[0]))],
    [join(root, 'benchmarks/RESULTS.md'), `${details.join('\n\n')}\n`],
  ]);
  for (const [i, { folder }] of machines.entries()) {
    for (const [file, svg] of Object.entries(drawn[i])) files.set(join(resultsFolder, folder, file), svg);
  }
  return files;
}

if (require.main === module) {
  for (const [path, text] of reportFiles()) writeFileSync(path, text);
}
