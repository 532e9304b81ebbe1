'use strict';
(() => {
  const plan = JSON.parse(document.getElementById('data').textContent);
  const { layers, paths } = plan;
  const byId = id => document.getElementById(id);
  const map = byId('map');

  layers.forEach((layer, at) => {
    layer.number = at + 1;
    layer.paths = layer.paths.map(number => Object.assign(paths[number], { layer, number }));
    layer.paths.sort((a, b) => b.size - a.size || (a.name < b.name ? -1 : 1));
  });
  const total = sum(layers);
  const hasChances = layers.some(layer => layer.chance !== null);
  const users = paths.map(() => []);
  paths.forEach((path, at) => (path.uses || []).forEach(used => users[used].push(at)));

  function sum(parts) {
    return parts.reduce((bytes, part) => bytes + part.size, 0);
  }

  function megabytes(bytes) {
    for (const [unit, size] of [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]]) {
      if (bytes >= size) return `${(bytes / size).toFixed(bytes < 10 * size ? 2 : 1)} ${unit}`;
    }
    return `${bytes} B`;
  }

  function chance(layer) {
    if (layer.chance === null) return '';
    return layer.chance < 100 ? `${layer.chance / 10} %` : `${Math.round(layer.chance / 10)} %`;
  }

  function count(many, one) {
    return `${many} ${one}${many === 1 ? '' : 's'}`;
  }

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  // Changes are rare: the square root spreads what is near to never.
  function shade(layer) {
    if (layer.chance === null) return layer.number % 2 ? 'var(--low)' : 'color-mix(in oklab, var(--low), var(--panel) 30%)';
    return `color-mix(in oklab, var(--high) ${Math.sqrt(layer.chance / 1000) * 100}%, var(--low))`;
  }

  // A squarified treemap (Bruls, Huizing, van Wijk 2000): rows along the shorter side, each as long
  // as its rectangles come nearer to squares.
  function squarify(parts, x, y, width, height, place) {
    let rest = parts.filter(part => part.size > 0);
    let left = sum(rest);
    while (rest.length && width > 0 && height > 0) {
      const side = Math.min(width, height);
      const scale = width * height / left;
      let bytes = 0;
      let worst = Infinity;
      let length = 0;
      while (length < rest.length) {
        const sizes = bytes + rest[length].size;
        const thick = sizes * scale / side;
        const ratio = size => Math.max(thick * thick / (size * scale), size * scale / (thick * thick));
        const next = Math.max(ratio(rest[0].size), ratio(rest[length].size));
        if (next > worst) break;
        worst = next;
        bytes = sizes;
        length += 1;
      }
      const thick = bytes * scale / side;
      let at = 0;
      for (const part of rest.slice(0, length)) {
        const long = part.size / bytes * side;
        if (width >= height) place(part, x, y + at, thick, long);
        else place(part, x + at, y, long, thick);
        at += long;
      }
      if (width >= height) [x, width] = [x + thick, width - thick];
      else [y, height] = [y + thick, height - thick];
      rest = rest.slice(length);
      left -= bytes;
    }
  }

  function put(made, x, y, width, height) {
    Object.assign(made.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
  }

  function draw() {
    map.replaceChildren();
    paths.forEach(path => delete path.cell);
    const sorted = [...layers].sort((a, b) => b.size - a.size || a.number - b.number);
    squarify(sorted, 0, 0, map.clientWidth, map.clientHeight, (layer, x, y, width, height) => {
      const box = element('div', { className: 'layer' });
      put(box, x, y, width, height);
      box.style.setProperty('--shade', shade(layer));
      map.append(box);
      const head = width > 40 && height > 34 ? 16 : 0;
      if (head) box.append(element('b', {}, `${layer.number} · ${megabytes(layer.size)}`));
      // Layers of an image are longer than their paths: shares of what is known.
      const known = sum(layer.paths);
      const parts = known ? layer.paths : layer.paths.map(path => Object.assign(path, { size: path.size || 1 }));
      squarify(parts, 0, head, width - 2, height - 2 - head, (path, x, y, width, height) => {
        if (width < 1.5 || height < 1.5) return;
        const cell = element('button', { type: 'button', title: `${path.name}, ${megabytes(path.size)}, layer ${layer.number}` });
        if (width > 30 && height > 13) cell.append(element('span', {}, path.name));
        put(cell, x, y, width, height);
        cell.setAttribute('aria-pressed', 'false');
        cell.onclick = () => select(path);
        cell.tabIndex = width > 24 && height > 12 ? 0 : -1;
        path.cell = cell;
        box.append(cell);
      });
    });
    search();
    if (selected) mark(selected);
  }

  let selected = null;

  function mark(path) {
    map.querySelectorAll('[aria-pressed="true"]').forEach(cell => cell.setAttribute('aria-pressed', 'false'));
    if (path.cell) path.cell.setAttribute('aria-pressed', 'true');
  }

  function links(numbers) {
    const sorted = numbers.map(number => paths[number]).sort((a, b) => b.size - a.size);
    return sorted.flatMap((path, at) => [at ? ', ' : '', link(path)]);
  }

  function link(path) {
    const made = element('a', { href: '#detail', title: path.path });
    made.append(...highlighted(path.name));
    made.onclick = event => {
      event.preventDefault();
      select(path);
    };
    return made;
  }

  function select(path) {
    selected = path;
    mark(path);
    const { layer } = path;
    const words = [megabytes(path.size), `layer ${layer.number} of ${layers.length} (${layer.why})`];
    if (layer.chance !== null) words.push(`the layer changes in ${chance(layer)} of releases`);
    const detail = [element('h2', {}, path.path), element('p', {}, words.join(' · '))];
    if (path.uses) {
      detail.push(element('p', {}, `uses ${count(path.uses.length, 'path')}: `, ...links(path.uses)));
      detail.push(element('p', {}, `used by ${count(users[path.number].length, 'path')}: `, ...links(users[path.number])));
    }
    byId('detail').replaceChildren(...detail);
    for (const row of byId('layers').rows) row.classList.toggle('here', row.dataset.layer === String(layer.number));
  }

  let words = '';

  function highlighted(name) {
    const at = words ? name.toLowerCase().indexOf(words) : -1;
    if (at < 0) return [name];
    return [name.slice(0, at), element('mark', {}, name.slice(at, at + words.length)), name.slice(at + words.length)];
  }

  const fits = path => path.path.toLowerCase().includes(words);

  function row(layer, largest) {
    const found = words ? layer.paths.filter(fits) : layer.paths;
    if (!found.length) return [];
    const cell = element('td', { className: 'paths' });
    if (found.length === 1) {
      cell.append(link(found[0]));
    } else {
      const names = found.slice(0, 3).map(path => path.name).join(', ');
      const more = element('summary', {}, `${count(found.length, 'path')}: ${names}${found.length > 3 ? ' …' : ''}`);
      const details = element('details', { open: words !== '' }, more);
      const fill = () => {
        if (details.childElementCount > 1) return;
        const items = found.map(path => element('li', {}, link(path), element('span', {}, megabytes(path.size))));
        details.append(element('ul', {}, ...items));
      };
      if (words) fill();
      details.ontoggle = fill;
      cell.append(details);
    }
    const bar = element('span');
    bar.style.width = `${layer.size / largest * 100}%`;
    const made = element('tr', {},
      element('td', { className: 'number' }, String(layer.number)),
      element('td', { className: 'number' }, megabytes(layer.size)),
      element('td', { className: 'bar' }, bar),
      element('td', { className: 'number chance' }, chance(layer)),
      element('td', {}, layer.why),
      cell);
    made.dataset.layer = layer.number;
    if (selected && selected.layer === layer) made.classList.add('here');
    return [made];
  }

  function search() {
    words = byId('search').value.trim().toLowerCase();
    map.classList.toggle('searched', words !== '');
    for (const path of paths) if (path.cell) path.cell.classList.toggle('found', words !== '' && fits(path));
    const largest = Math.max(1, ...layers.map(layer => layer.size));
    const rows = layers.flatMap(layer => row(layer, largest));
    byId('layers').replaceChildren(...rows);
    byId('nothing').hidden = rows.length > 0;
    const found = paths.filter(fits);
    const all = `${count(layers.length, 'layer')} of store paths, ${count(paths.length, 'path')}, ${megabytes(total)}`;
    byId('summary').textContent = words ? `${count(found.length, 'path')} of ${paths.length}, ${megabytes(sum(found))}` : all;
  }

  document.title = `Layers of ${plan.title}`;
  byId('title').textContent = plan.title;
  document.body.classList.toggle('plain', !hasChances);
  byId('legend').hidden = !hasChances;
  byId('detail').append(element('p', {}, 'Choose a store path to see what it uses, and what uses it.'));
  byId('search').oninput = search;
  let frame = 0;
  new ResizeObserver(() => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  }).observe(map);
  draw();
})();
