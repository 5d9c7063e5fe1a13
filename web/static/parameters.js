// What made a picture, as people and other programs read it.

import { word } from './config.js';

const SEEDS = 2 ** 32;

/** The seed that draws this one draft alone. */
export function seedOf(request, draft) {
  return ((request.options.seed ?? 0) + draft.draft) % SEEDS;
}

/** [name, value] of all that made a picture, in the page's words. */
export function parameterRows(request, draft) {
  const { options } = request;
  const rows = [
    [word('prompt'), request.prompt],
    [word('negative_prompt'), request.negative_prompt],
    [word('model'), request.model],
    [word('seed'), options.seed === undefined ? null : seedOf(request, draft)],
    [word('steps'), options.steps],
    [word('guidance'), options.guidance],
    [word('size'), options.width ? `${options.width} × ${options.height}` : null],
    [word('scheduler'), options.scheduler === 'default' ? word('scheduler_default') : options.scheduler],
    ...Object.entries(options.adapters ?? {}),
  ];
  return rows.filter(([, value]) => value !== undefined && value !== null && value !== '');
}

/** The text that Stable Diffusion web UIs write into a file and read back; see generators/png.py. */
export function usualText(request, draft) {
  const { options } = request;
  const rest = {
    Steps: options.steps,
    Sampler: options.scheduler,
    'CFG scale': options.guidance,
    Seed: options.seed === undefined ? undefined : seedOf(request, draft),
    Size: `${options.width}x${options.height}`,
    Model: request.model,
  };
  return [
    request.prompt,
    ...(request.negative_prompt ? [`Negative prompt: ${request.negative_prompt}`] : []),
    Object.entries(rest).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}`).join(', '),
  ].join('\n');
}

/** A name for the file that says what it shows. */
export function fileName(request, draft) {
  const said = (request.prompt ?? '').normalize().toLowerCase()
    .replace(/[^\p{Letter}\p{Mark}\p{Number}]+/gu, '-').replace(/^-+|-+$/g, '');
  return `genloop-${[...said].slice(0, 40).join('')}-${seedOf(request, draft)}.png`;
}
