// Installs the rivals into a folder of the build, once: they are no dependencies of this project.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { peersFolder } from '../peers/require-peer';

/** @throws when npm fails, with what it printed */
export function installPeers(): void {
  const wanted = join(__dirname, '../rivals/package.json');
  const installed = join(peersFolder, 'package.json');
  const current = existsSync(join(peersFolder, 'node_modules')) && readFileSync(installed, 'utf8') === readFileSync(wanted, 'utf8');
  if (current) return;
  console.log(`Installing the rivals into ${peersFolder} ...`);
  mkdirSync(peersFolder, { recursive: true });
  copyFileSync(wanted, installed);
  // The CPU library of onnxruntime is in its package; its install script would fetch GPU libraries.
  const { status, stderr } = spawnSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'], {
    cwd: peersFolder,
    encoding: 'utf8',
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
  });
  if (status !== 0) throw new Error(`the rivals could not be installed:\n${stderr}`);
}
