#!/usr/bin/env node
import { examination } from '.';

if (process.argv[2] === 'doctor') {
  for (const [name, found] of examination()) console.log(`${name.padEnd(13)} ${found}`);
} else {
  console.error('usage: quanto doctor    prints what the library finds on this machine, and why something is missing');
  process.exitCode = 2;
}
