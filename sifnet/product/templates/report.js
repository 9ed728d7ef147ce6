"use strict";
// Fills the figures of the page from its data, and shows why the picked pixel has its value.
window.sifnet = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const EMPTY = 65535, $ = id => document.getElementById(id);
  let doc, one, layer, picked = [0, 0], shown = null;
  const model = name => doc.get_model_by_name(name);
  const fill = (name, columns) => { model(name).data = columns; };

  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;
  const scaled = (entry) => Float32Array.from(new Int16Array(bytes(entry.values)), v => v * entry.step);
  const minus = text => text.replace(/-/g, "−");
  function format(value, digits = 4) {
    if (value === null || !isFinite(value)) return "–";
    if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)) return minus(value.toExponential(2));
    const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.max(Math.abs(value), 1e-9))));
    return minus(value.toFixed(Math.min(places, 4)));
  }
  const signed = (value, digits) => {
    const text = Math.abs(value).toFixed(digits);
    return (Number(text) === 0 ? "" : value < 0 ? "−" : "+") + text;
  };
  const named = (word, unit) => unit && !unit.startsWith("mW") ? `${word}, ${unit}` : word;
  // A value to a tenth of its uncertainty.
  const to = (value, sd) => value === null ? "–" : minus(value.toFixed(Math.min(Math.max(0, 1 - Math.floor(Math.log10(sd))), 5)));

  // Text that comes from files only ever becomes text.
  function row(cells, kinds = [], head = false) {
    const line = document.createElement("tr");
    cells.forEach((cell, i) => {
      const box = document.createElement(head ? "th" : "td");
      box.textContent = cell;
      if (kinds[i]) box.className = kinds[i];
      line.append(box);
    });
    return line;
  }

  function unpack(scene) {
    for (const one of scene.layers) if (!one.array) {
      one.array = Float32Array.from(new Uint16Array(bytes(one.values)),
                                    v => v === EMPTY ? NaN : one.start + one.step * v);
    }
    scene.flag_array = new Uint16Array(bytes(scene.flags));
    scene.good_array = new Uint8Array(bytes(scene.good));
    const kept = scene.kept;
    if (kept && !kept.ready) {
      kept.fitted_array = new Float32Array(bytes(kept.fitted));
      kept.noise_array = scaled(kept.noise);
      kept.glow_array = scaled(kept.fluorescence);
      for (const name of ["residual", "encoder_residual"]) {
        kept[name + "_array"] = Float32Array.from(new Int16Array(bytes(kept[name])), v => v / 100);
      }
      kept.ready = true;
    }
  }

  // Where pixels are drawn: along the grid, or lines downwards, or to the right if there are many.
  function xy(line, sample) {
    if (one.grid) return [one.grid.x + one.grid.dx * sample, one.grid.y + one.grid.dy * line];
    return one.lying ? [line, -sample] : [sample, -line];
  }
  function pixel(x, y) {
    let line, sample;
    if (one.grid) [line, sample] = [(y - one.grid.y) / one.grid.dy, (x - one.grid.x) / one.grid.dx];
    else [line, sample] = one.lying ? [x, -y] : [-y, x];
    return [Math.floor(line / one.step), Math.floor(sample / one.step)];
  }
  const series = () => one.whole[1] === 1;
  const flat = (i, j) => i * one.shape[1] + j;
  const full = ([i, j]) => [i * one.step, j * one.step];

  function first_flag(word) {
    for (let bit = 0; bit < 16; bit++) if (word & (1 << bit)) return bit + 1;
    return 0;
  }

  function draw_map() {
    const [rows, columns] = one.shape, all = $("untrusted").checked, flags = layer.name === "flags";
    const value = k => flags ? first_flag(one.flag_array[k])
                     : all || one.good_array[k] ? layer.array[k] : NaN;
    const [x0, y0] = xy(0, 0), [x1, y1] = xy(rows * one.step, columns * one.step);
    const across = one.lying && !one.grid;
    const [wide, high] = across ? [rows, columns] : [columns, rows];
    // Bokeh's own array of two dimensions, of which the page was given one.
    const Plane = model("image").data.image[0].constructor, image = new Plane(wide * high, [high, wide]);
    for (let r = 0; r < high; r++) {
      for (let c = 0; c < wide; c++) {
        const down = y1 < y0 ? high - 1 - r : r, right = x1 < x0 ? wide - 1 - c : c;
        image[r * wide + c] = value(across ? flat(right, down) : flat(down, right));
      }
    }
    const colours = model("colours"), bar = model("bar");
    colours.palette = flags ? one.flag_colours : layer.palette;
    [colours.low, colours.high] = flags ? [-0.5, 16.5] : [layer.low, layer.high];
    bar.visible = !flags;
    bar.title = layer.unit || " ";
    fill("image", {image: [image], x: [Math.min(x0, x1)], y: [Math.min(y0, y1)],
                   dw: [Math.abs(x1 - x0)], dh: [Math.abs(y1 - y0)]});
    $("legend").style.display = flags ? "flex" : "none";
  }

  function draw_series() {
    const rows = one.shape[0], flags = layer.name === "flags", at = [...Array(rows).keys()];
    const sd = one.layers.find(l => l.name === one.layers[0].name + "_uncertainty");
    const y = at.map(i => flags ? first_flag(one.flag_array[i]) : layer.array[i]);
    const bars = layer === one.layers[0] && sd ? at.map(i => sd.array[i]) : at.map(() => 0);
    fill("measurements", {x: at.map(i => i * one.step), y, low: y.map((v, i) => v - bars[i]),
      high: y.map((v, i) => v + bars[i]), colour: at.map(i => one.good_array[i] ? "#0b7a4b" : "#b3bcc1")});
    model("series").left[0].axis_label = layer.title + (layer.unit ? ", " + layer.unit : "");
  }

  function draw_histogram() {
    $("histogram_title").textContent = "Histogram of trusted pixels: " + layer.title;
    const flags = layer.name === "flags", [low, high] = flags ? [0, 17] : [layer.low, layer.high];
    const room = flags ? 0 : 0.1 * (high - low), start = low - room, count = flags ? 17 : 60;
    const step = (high + room - start) / count, bins = new Array(count).fill(0);
    const source = flags ? one.flag_array : layer.array;
    for (let k = 0; k < source.length; k++) {
      if (!flags && (!one.good_array[k] || !isFinite(source[k]))) continue;
      const bin = Math.floor(((flags ? first_flag(source[k]) : source[k]) - start) / step);
      if (bin >= 0 && bin < count) bins[bin]++;
    }
    fill("histogram_bins", {left: bins.map((_, i) => start + i * step),
                            right: bins.map((_, i) => start + (i + 1) * step), top: bins});
    model("histogram").below[0].axis_label = layer.title + (layer.unit ? ", " + layer.unit : "");
  }

  function draw_legend() {
    $("legend").replaceChildren(...[["0", ["good"]], ...Object.entries(one.flag_words)].filter(([flag]) =>
      one.flag_array.some(word => flag === "0" ? word === 0 : word & Number(flag))).map(([flag, [word]]) => {
        const entry = document.createElement("span"), colour = document.createElement("i");
        colour.style.background = one.flag_colours[flag === "0" ? 0 : Math.log2(Number(flag)) + 1];
        entry.append(colour, word);
        return entry;
      }));
  }

  function nearest() {
    const kept = one.kept, [line, sample] = full(picked);
    if (!kept || !kept.line.length) return null;
    let best = 0, least = Infinity;
    kept.line.forEach((l, k) => {
      const away = Math.hypot(l - line, kept.sample[k] - sample);
      if (away < least) [best, least] = [k, away];
    });
    return {k: best, away: least};
  }

  function draw_spectrum(near) {
    const kept = one.kept, bands = kept.wavelength.length, at = near.k * bands;
    const part = array => Array.from(array.subarray(at, at + bands));
    const fitted = part(kept.fitted_array), noise = part(kept.noise_array);
    const residual = part(kept.residual_array), away = part(kept.encoder_residual_array);
    const measured = fitted.map((v, i) => v + residual[i] * noise[i]);
    fill("spectrum", {
      nm: kept.wavelength.map(w => w + kept.shifts[near.k]), measured, fitted, residual,
      encoder: measured.map((v, i) => v - away[i] * noise[i]), encoder_residual: away,
      fluorescence: part(kept.glow_array), low: fitted.map(() => -1), high: fitted.map(() => 1),
    });
  }

  function tell_parameters(near) {
    const kept = one.kept, rows = [];
    kept.parameters.forEach(([word, unit], i) => {
      const [value, prior, sd, encoder] =
        ["value", "prior", "prior_sd", "encoder_value"].map(n => kept[n][near.k][i]);
      const away = prior === null ? null : (value - prior) / sd, like = x => sd === null ? format(x) : to(x, sd);
      rows.push(row([named(word, unit), like(value),
                     prior === null ? "–" : `${to(prior, sd)} ± ${format(sd, 2)}`,
                     away === null ? "–" : signed(away, 1), like(encoder)],
                    ["", "n", "n", away !== null && Math.abs(away) > 2 ? "n far" : "n", "n"]));
    });
    $("parameters").replaceChildren(
      row(["", "retrieved", "prior", "off, σ", "encoder"], ["", "n", "n", "n", "n"], true), ...rows);
    $("parameters_source").textContent = (near.away === 0 ? "Of this pixel. " :
      `Of the nearest kept spectrum, line ${kept.line[near.k]}, sample ${kept.sample[near.k]}. `) +
      "Air and sensor are those of its patch and its column.";
  }

  function tell_pixel(near) {
    const k = flat(...picked), [line, sample] = full(picked), word = one.flag_array[k];
    const get = name => { const l = one.layers.find(l => l.name === name); return l ? l.array[k] : NaN; };
    const main = one.layers[0], sd = get(main.name + "_uncertainty"), value = main.array[k];
    $("value").textContent = isFinite(value) ? `${minus(value.toFixed(2))} ± ${sd.toFixed(2)}` : "no value";
    $("unit").textContent = isFinite(value) ? main.unit : "";
    $("where").textContent = `${main.title} · line ${line}, sample ${sample} · ` +
      (one.good_array[k] ? "trusted" : isFinite(value) ? "not trusted" : "not retrieved");
    $("source").textContent = !near ? "This product keeps no spectra: map its scene anew with sifnet retrieve." :
      near.away === 0 ? "Its own spectrum." : `Spectrum of the nearest kept pixel: line ${one.kept.line[near.k]}, ` +
      `sample ${one.kept.sample[near.k]}, ${near.away.toFixed(0)} pixels away, SIF ${format(one.kept.value[near.k][0], 3)}, ` +
      `χ² ${one.kept.chi2[near.k].toFixed(2)}. Any pixel's own: product.sif.spectrum(${line}, ${sample}).plot()`;
    $("pixel").replaceChildren(row(["", "here", "5 %", "median", "95 %"], ["", "n", "n", "n", "n"], true),
      ...one.layers.map(l => row([named(l.title, l.unit), format(l.array[k]), ...l.usual.map(v => format(v))],
                                 ["", "n", "n", "n", "n"])));
    $("flagwords").replaceChildren(...Object.entries(one.flag_words).filter(([flag]) => word & Number(flag))
      .map(([, [name, text]]) => {
        const item = document.createElement("li"), bold = document.createElement("b");
        bold.textContent = name;
        item.append(bold, ": " + text);
        return item;
      }));
    const here = model("here");
    here.visible = layer.name !== "flags" && isFinite(layer.array[k]);
    here.location = here.visible ? layer.array[k] : 0;
  }

  function pick(i, j) {
    picked = [Math.min(Math.max(i, 0), one.shape[0] - 1), Math.min(Math.max(j, 0), one.shape[1] - 1)];
    const near = nearest(), [line, sample] = full(picked), half = one.step / 2;
    tell_pixel(near);
    const [x, y] = xy(line + half, sample + half);
    fill("picked", {x: [x], y: [y]});
    const value = layer.name === "flags" ? first_flag(one.flag_array[flat(...picked)]) : layer.array[flat(...picked)];
    if (series()) fill("picked_measurement", {x: [line], y: [value]});
    if (!near) return;
    const [u, v] = xy(one.kept.line[near.k] + 0.5, one.kept.sample[near.k] + 0.5);
    fill("nearest", {x: near.away ? [u] : [], y: near.away ? [v] : []});
    fill("link", {x: near.away ? [x, u] : [], y: near.away ? [y, v] : []});
    if (shown !== near.k) { draw_spectrum(near); tell_parameters(near); shown = near.k; }
    else tell_parameters(near);
  }

  function draw_line() {
    const kept = one.kept;
    for (const name of ["residual", "encoder", "air", "components", "registration"]) {
      $(name + "_card").hidden = !kept || name === "components" && !kept.components.length;
    }
    if (!kept) return;
    const scatter = kept.counted ? 1 / Math.sqrt(kept.counted) : 0, mean = kept.mean_residual;
    fill("mean_by_band", {nm: kept.wavelength, mean, low: mean.map(() => -scatter), high: mean.map(() => scatter)});
    const rms = Math.sqrt(mean.reduce((sum, v) => sum + v * v, 0) / mean.length);
    $("mean_text").textContent = `Mean of ${kept.counted} pixels all over the scene, rms ${rms.toFixed(2)} σ; ` +
      `noise alone would leave ${scatter.toFixed(2)} σ (grey).`;
    const sif = kept.value.map(v => v[0]), said = kept.encoder_value.map(v => v[0]);
    const low = Math.min(0, ...sif, ...said), high = Math.max(...sif, ...said), room = 0.04 * (high - low);
    fill("both", {encoder: said, refined: sif, text: sif.map((v, k) =>
      `line ${kept.line[k]}, sample ${kept.sample[k]}: ${format(said[k], 3)} → ${format(v, 3)}`)});
    fill("one_to_one", {x: [low - room, high + room]});
    for (const axis of ["x_range", "y_range"]) {
      const range = model("encoder")[axis];
      [range.start, range.end] = [low - room, high + room];
      [range.reset_start, range.reset_end] = [low - room, high + room];
    }
    const off = sif.map((v, k) => said[k] - v), bias = off.reduce((a, b) => a + b, 0) / off.length;
    $("encoder_text").textContent = `Of ${sif.length} kept pixels: the encoder alone is ${signed(bias, 2)} off on ` +
      `the average, rms ${Math.sqrt(off.reduce((a, b) => a + b * b, 0) / off.length).toFixed(2)}` +
      (kept.refined ? "." : "; this product was not refined.");
    const short = ["pressure", "temperature", "AOT", "aerosol height", "aerosol type", "oxygen"];
    model("air").x_range.factors = short;
    fill("air_bars", {x: short, sd: kept.air.map(a => a[4]), text: kept.air.map(([word, value, prior, sd]) =>
      `${word}: ${to(value, sd)} (prior ${to(prior, sd)} ± ${format(sd, 2)})`)});
    fill("air_scale", {x: [short[0], short[0]], y: [-1.2, 1.2]});
    fill("components_scale", {x: [1, 1], y: [-1.2, 1.2]});
    $("air_text").textContent = "Farthest from what was known: " + kept.air.map(([word, value, prior, sd, away]) =>
      [Math.abs(away), `${word} ${to(value, sd)} (${to(prior, sd)} ± ${format(sd, 2)})`]).sort((a, b) => b[0] - a[0])
      .slice(0, 2).map(a => a[1]).join(", ") +
      `. Stray light ${signed(100 * kept.stray, 3)} % of the mean radiance (0 ± 0.15 % is usual).`;
    const parts = kept.components;
    fill("component_bars", {x: parts.map((_, i) => i + 1), sd: parts,
                            text: parts.map((v, i) => `component ${i + 1}: ${signed(v, 2)} σ`)});
    if (parts.length) {
      const square = parts.reduce((sum, v) => sum + v * v, 0) / parts.length;
      $("components_text").textContent = `Coefficients of ${parts.length} components, those that matter most first; mean square ` +
        `${square.toFixed(2)}: 1 is as expected, above 2 the pixels are flagged.`;
    }
    fill("columns", {x: kept.sensor[0].map((_, i) => i), shift: kept.sensor[0], width: kept.sensor[1],
                     encoder_shift: kept.encoder_sensor[0], encoder_width: kept.encoder_sensor[1]});
  }

  function draw_layer(name) {
    layer = name === "flags" ? {name, title: "flags", unit: ""} : one.layers.find(l => l.name === name);
    $("layer").value = name;
    series() ? draw_series() : draw_map();
    draw_histogram();
    pick(...picked);
  }

  function draw_scene(number) {
    one = data.scenes[number];
    unpack(one);
    shown = null;
    document.querySelectorAll("section.of").forEach(s => { s.hidden = s.dataset.scene !== String(number); });
    $("layer").replaceChildren(...[...one.layers, {name: "flags", title: "flags"}].map(l => new Option(l.title, l.name)));
    $("themap").hidden = series();
    $("theseries").hidden = !series();
    $("scalebar").hidden = series();
    const map = model("map"), labels = one.grid ? one.grid.axes : one.lying ? ["line", "sample"] : ["sample", "line"];
    [map.below[0].axis_label, map.left[0].axis_label] = labels;
    const kept = one.kept, at = kept ? kept.line.map((l, k) => xy(l + 0.5, kept.sample[k] + 0.5)) : [];
    fill("kept", {x: at.map(p => p[0]), y: at.map(p => p[1])});
    draw_legend();
    draw_line();
    picked = start();
    draw_layer(one.layers.length ? one.layers[0].name : "flags");
    map.reset.emit();
    rescale();
  }

  // Begin at a kept spectrum with much fluorescence that is trusted: there is something to see.
  function start() {
    const kept = one.kept, at = kept ? kept.line.map((l, k) => [l, kept.sample[k], kept.value[k][0]])
      .map(([l, s, v]) => [Math.floor(l / one.step), Math.floor(s / one.step), v])
      .filter(([i, j]) => one.good_array[flat(i, j)]).sort((a, b) => a[2] - b[2]) : [];
    const good = at[Math.floor(0.9 * at.length)];
    return good ? good.slice(0, 2) : one.shape.map(n => Math.floor(n / 2));
  }

  function rescale() {
    if (!one || series()) return;
    const map = model("map"), wide = map.inner_width, span = map.x_range.end - map.x_range.start;
    if (!wide || !isFinite(span) || span <= 0) return;
    const [x0, y0] = xy(0, 0), [x1, y1] = xy(one.shape[0] * one.step, one.shape[1] * one.step);
    const tall = Math.abs((y1 - y0) / (x1 - x0)) * wide * 1.02 + 90;
    const height = Math.round(Math.min(Math.max(tall, 230), Math.min(640, 0.75 * window.innerHeight + 60)));
    if (Math.abs(map.height - height) > 6) map.height = height;
    model("air").below[0].major_label_orientation = wide < 400 ? 0.7 : "horizontal";
    const metres = one.metres || 1, room = 0.3 * span * metres;
    const ten = 10 ** Math.floor(Math.log10(room)), length = [5, 2, 1].map(n => n * ten).find(n => n <= room);
    $("scalebar").style.width = `${length / metres / span * wide}px`;
    $("scalebar").textContent = !one.metres ? `${length} pixels` : length >= 1000 ? `${length / 1000} km` : `${length} m`;
  }

  function keys(event) {
    const far = event.shiftKey ? 10 : 1, moves = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]};
    if (event.key === "[" || event.key === "]") {
      const select = $("layer"), count = select.options.length;
      const next = (select.selectedIndex + (event.key === "]" ? 1 : count - 1)) % count;
      draw_layer(select.options[next].value);
    } else if (moves[event.key]) {
      let [down, right] = moves[event.key];
      if (series()) [down, right] = [down + right, 0];
      else if (one.grid) [down, right] = [down * (one.grid.dy < 0 ? 1 : -1), right * (one.grid.dx > 0 ? 1 : -1)];
      else if (one.lying) [down, right] = [right, down];
      pick(picked[0] + far * down, picked[1] + far * right);
    } else return;
    event.preventDefault();
  }

  function begin() {
    doc = (window.Bokeh && Bokeh.documents || []).find(d => d.get_model_by_name("map"));
    if (!doc || !model("map").inner_width) return setTimeout(begin, 50);
    const colours = ["#1b2a34", "#0b7a4b", "#c8860a", "#5e60ce", "#b5179e", "#0077b6", "#8b979e"];
    fill("terms", {x: data.losses.map(l => l.x), y: data.losses.map(l => l.y), name: data.losses.map(l => l.name),
      colour: data.losses.map((_, i) => colours[i % colours.length]), width: data.losses.map(l => l.name === "loss" ? 2.5 : 1.3)});
    $("layer").onchange = event => draw_layer(event.target.value);
    $("untrusted").onchange = () => draw_layer(layer.name);
    $("marks").onchange = event => { model("kept_glyph").visible = event.target.checked; };
    $("encoderresidual").onchange = event => { model("encoder_away").visible = event.target.checked; };
    $("mapbox").addEventListener("keydown", keys);
    if ($("scene")) $("scene").onchange = event => draw_scene(Number(event.target.value));
    draw_scene(0);
    document.body.dataset.ready = "yes";
  }
  setTimeout(begin, 0);

  return {
    tapped(x, y) {
      const [i, j] = series() ? [Math.round(x / one.step), 0] : pixel(x, y);
      if (i >= 0 && j >= 0 && i < one.shape[0] && j < one.shape[1]) pick(i, j);
      $("mapbox").focus({preventScroll: true});
    },
    tick: value => !one || !one.grid ? String(Math.abs(value)) :
      Math.abs(value) < 400 ? value.toFixed(3) : value.toLocaleString("en").replace(/,/g, " "),
    scaled: rescale,
    picked: () => full(picked),
  };
})();
