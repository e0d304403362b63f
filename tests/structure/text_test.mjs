// What holds for every text file of the tree, and for the tables of docs/ that name things of the
// code.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

const root = process.env.PGCAST_SOURCE_DIR ?? path.resolve(import.meta.dirname ?? '.', '../..');
const skipped = new Set(['.git', '.dev', '.cache', 'build', 'dist', 'node_modules']);
const binary = /\.(png|ico|woff2|gz|bin)$/;

function walk(folder) {
  return fs.readdirSync(path.join(root, folder), { withFileTypes: true })
    .filter((entry) => !skipped.has(entry.name) && !/^\.nfs|~$|\.swp$/.test(entry.name))
    .flatMap((entry) => {
      const name = path.posix.join(folder, entry.name);
      return entry.isDirectory() ? walk(name) : entry.isFile() ? [name] : [];
    });
}

const files = walk('.').filter((file) => !binary.test(file));
const own = files.filter((file) => !/(^|\/)(vendor|data)\/|package-lock\.json$/.test(file));
const code = own.filter((file) => /\.(hpp|cpp)$/.test(file));
const product = code.filter((file) => /^(daemon|protocol)\//.test(file));
const read = (file) => fs.readFileSync(path.join(root, file), 'utf8');

// "file:line: text" of every line that matches.
function lines_with(names, pattern) {
  return names.flatMap((file) => read(file).split('\n').flatMap((line, index) =>
    pattern.test(line) ? [`${file}:${index + 1}: ${line.trim().slice(0, 120)}`] : []));
}

const none = (found) => assert.deepEqual(found, []);

test('Text_HasNoTabsAndNoBlanksAtLineEnds', () => {
  none(lines_with(own.filter((file) => !/\.(md|txt)$/.test(file)), /[ \t]+$|^\t|\r$/));
});

test('Text_EndsWithOneNewline', () => {
  none(own.filter((file) => {
    const text = read(file);
    return text !== '' && (!text.endsWith('\n') || text.endsWith('\n\n'));
  }));
});

test('Code_HasAtMostHundredColumns', () => {
  none(lines_with(product, /^(?!\/\/\/ \|).{101,}$/u));  // a table in a comment may be wider
});

test('Code_FilesAreSplitAtFourHundredLines', () => {
  none(product.filter((file) => read(file).split('\n').length > 401));
});

test('Code_HeadersAreGuardedByPragma', () => {
  none(code.filter((file) => file.endsWith('.hpp') && !/^#pragma once$/m.test(read(file))));
});

test('Code_NamesTheThing', () => {
  none(code.filter((file) => /(^|[/_])(utils?|helpers?|misc|common|manager)([._]|$)/.test(file)));
});

test('Todo_HasAnIssueNumber', () => {
  none(lines_with(own.filter((file) => file !== 'tests/structure/text_test.mjs'),
    /\b(TODO|FIXME|XXX)\b(?!\(#\d+\))/));
});

test('Text_NamesNoPlaceOfOneMachine', () => {
  none(lines_with(own, /(^|[\s"'`(=])\/(home|Users)\/[\w.]/));
});

test('SampleNumbers_AreThoseSetAsideForFiction', () => {
  const numbers = /\+44[\s().-]*(?!7)\d|\+44[\s.-]*7(?!\d*["'` ]*\.\.)(?!700[\s.-]*900)[\d\s.-]{6,}/;
  none(lines_with(own.filter((file) => file !== 'tests/structure/text_test.mjs'), numbers));
});

test('Code_UsesTheWordsOfTheField', () => {
  none(lines_with(product, /(?<!service )\b\w*([Mm]anager|[Hh]elper)\w*\b/));
});

test('Text_IsAboutTheProjectAlone', () => {
  none(lines_with(own.filter((file) => file !== 'tests/structure/text_test.mjs'),
    /\bissue #?\d|\b(TBD|WIP)\b/i));
});

test('Docs_LinkOnlyToWhatIsThere', () => {
  const broken = own.filter((file) => file.endsWith('.md')).flatMap((file) =>
    [...read(file).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)]
      .filter(([, link]) => !fs.existsSync(path.join(root, path.dirname(file), link)))
      .map(([, link]) => `${file}: ${link}`));
  none(broken);
});

test('Deprecated_IsTheNameOfNoTableInTheCode', () => {
  none(lines_with(product, /"DEPRECATED"/));
});

// The names of a table in docs/ and those in the code are the same set.
function same_names(document, in_document, sources, in_code) {
  const names = (text, pattern) => [...new Set([...text.matchAll(pattern)].map((m) => m[1]))].sort();
  const written = names(read(document), in_document);
  const compiled = names(sources.map(read).join('\n'), in_code);
  assert.ok(compiled.length > 0, 'the code names nothing: has the pattern aged?');
  assert.deepEqual(written, compiled);
}

const daemon_code = code.filter((file) => file.startsWith('daemon/'));

test('Docs_ListEveryMetric', () => {
  same_names('docs/metrics.md', /^\| `(pgcast_[a-z_]+)/gm, daemon_code, /"(pgcast_[a-z_]+)"/g);
});

test('Docs_ListEveryErrorWithItsNumber', () => {
  const pairs = (file, pattern) => [...read(file).matchAll(pattern)].map(([, a, b]) => `${a} ${b}`);
  assert.deepEqual(pairs('docs/errors.md', /^\| `([a-z_0-9]+)` \| (\d+) \|/gm),
    pairs('protocol/error.hpp', /^ {2}([a-z_0-9]+) = (\d+),/gm));
});

test('Docs_ListEveryProblemOfTheApi', () => {
  const pairs = (files, pattern) => [...new Set(files.flatMap((file) =>
    [...read(file).matchAll(pattern)].map(([, status, problem]) => `${status} ${problem}`)))].sort();
  const written = pairs(['docs/errors.md'], /^\| (\d{3}) \| `([a-z_]+)` \|/gm);
  assert.deepEqual(written, pairs(['protocol/api_request.cpp', 'daemon/api_reader.cpp', 'daemon/http_api.cpp', 'daemon/http_operations.cpp'],
    /[{(](\d{3}),\s+"([a-z_]+)"/g));
  const told = JSON.parse(read('daemon/api/openapi.json')).components.schemas.Problem.properties.code.enum;
  assert.deepEqual([...told].sort(), [...new Set(written.map((one) => one.slice(4)))].sort());
});

test('Docs_GiveTheHintsOfErrors', () => {
  const text = read('protocol/error_reply.cpp');
  const cases = text.slice(text.indexOf('string_view hint_of'))
    .matchAll(/((?: {4}case errc::[a-z_0-9]+:\n)+) {6}return "([^"]+)"/g);
  const told = [...cases].flatMap(([, codes, hint]) =>
    [...codes.matchAll(/errc::([a-z_0-9]+)/g)].map(([, code]) => `${code}: ${hint}`));
  const written = new Set([...read('docs/errors.md').matchAll(/^\| `([a-z_0-9]+)` .* \| (.*) \|$/gm)]
    .map(([, code, hint]) => `${code}: ${hint}`));
  assert.ok(told.length > 15, 'the code gives no hints: has the pattern aged?');
  none(told.filter((one) => !written.has(one)));
});
