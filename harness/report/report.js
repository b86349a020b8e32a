"use strict";
for (const button of document.querySelectorAll("button.copy")) {
  const code = button.parentElement.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(code); // also the way out where a page may not write to the clipboard
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Selected";
    }
  });
}
(async () => {
  const note = document.getElementById("chart-note");
  const say = (text) => { note.textContent = text; };
  if (!("DecompressionStream" in window)) {
    say("The timeline needs a browser with DecompressionStream: Chrome or Edge 80, Firefox 113, Safari 16.4, or newer.");
    return;
  }
  const data = JSON.parse(document.getElementById("data").textContent);
  if (!data.t.length) {
    say("The run recorded nothing that a timeline could show.");
    return;
  }
  say("Drawing the timeline …");
  try {
    await loadPlotly();
    await draw(data);
    note.remove();
  } catch (error) {
    say(`The timeline could not be drawn: ${error.message}`);
  }

  // The library is base64 of gzip; inflated, it runs as an inline script that the page's policy knows by hash.
  async function loadPlotly() {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    if (!window.Plotly) throw new Error("the browser refused the embedded library");
  }

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  // Plotly reads a few HTML tags and entities in its texts; foreign text must not be read so.
  function plain(text) {
    return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  function legendOf(number) {
    return number ? `legend${number + 1}` : "legend";
  }

  function axisOf(number) {
    return number ? `y${number + 1}` : "y";
  }

  function lines(data) {
    const dashes = { max: "dot", rate: "dot" };
    const filled = ["errors", "blocked", "wal", "lag"];
    return data.panels.flatMap((panel, number) => panel.lines.map((line) => ({
      type: "scatter", mode: "lines+markers", name: line.name, x: data.t, y: line.values,
      yaxis: axisOf(number), connectgaps: false, legend: legendOf(number),
      line: { color: color(line.style), width: line.style === "p95" || line.style === "throughput" ? 2 : 1.4,
              dash: dashes[line.style] || "solid", shape: number ? "hv" : "linear" },
      marker: { size: 3 },
      fill: filled.includes(line.style) ? "tozeroy" : "none",
      hovertemplate: number ? `%{y:.3~g}${panel.suffix}` : "%{y:.3~s}s",
    })));
  }

  function lane(bars, axis, prefix, name, outline = 1.5) {
    return {
      type: "bar", orientation: "h", name, yaxis: axis, showlegend: false,
      base: bars.map((bar) => bar.start), x: bars.map((bar) => bar.end - bar.start), y: bars.map((bar) => plain(bar.row)),
      width: 0.8,
      marker: { color: bars.map((bar) => color(prefix + bar.style)), line: { width: outline, color: bars.map((bar) => color(prefix + bar.style)) } },
      textposition: "inside", insidetextanchor: "middle", textangle: 0, constraintext: "none",
      textfont: { color: color("ink"), size: 11 },
      customdata: bars.map((bar) => [bar.label, ...bar.details].map(plain).join("<br>")),
      hovertemplate: "%{customdata}<extra></extra>",
    };
  }

  // Waits have an x axis of their own, so that the label of the panels above does not cover them.
  function waiting(data, axis) {
    return { ...lane(data.waits.bars, axis, "wait-", "wait", 0.5), xaxis: "x2", hoverinfo: "skip", hovertemplate: null };
  }

  // Says below the chart which wait the mouse points at.
  function pointing(chart, data) {
    const words = document.getElementById("wait");
    const rest = words.textContent;
    chart.addEventListener("mousemove", (event) => {
      const { xaxis2: x, [`yaxis${data.panels.length + 3}`]: y } = chart._fullLayout;
      const box = chart.getBoundingClientRect();
      const [left, right] = [-3, 3].map((reach) => x.p2d(event.clientX - box.left - x._offset + reach));
      const row = Math.round(y.p2d(event.clientY - box.top - y._offset));
      const bar = data.waits.bars.find((bar) => bar.row === String(row) && bar.start <= right && left <= bar.end);
      words.textContent = bar ? bar.label : rest;
    });
  }

  // Panels from the top, then the lanes: phases, statements and, where there were any, waits.
  function heightsOf(data, rows) {
    const laneHeight = rows.length > 12 ? 312 / rows.length : 26;
    const lanes = [32, Math.max(1, rows.length) * laneHeight + 6];
    if (data.waits.rows) lanes.push(Math.max(26, data.waits.rows * 8 + 6));
    return [...data.panels.map((panel) => panel.weight), ...lanes];
  }

  function layout(data, rows, range, latency) {
    const panels = data.panels.length;
    const heights = heightsOf(data, rows);
    const gaps = heights.map((_, number) => (number < panels - 1 ? 34 : number < panels ? 20 : 8));
    const total = heights.reduce((a, b) => a + b, 0) + gaps.slice(0, -1).reduce((a, b) => a + b, 0);
    const titles = 16 * Math.min(3, data.migrations.length);
    const longest = titles ? 22 : 13;
    const grid = { gridcolor: color("rule"), zerolinecolor: color("rule"), linecolor: color("rule"), tickfont: { color: color("muted"), size: 11 } };
    const result = {
      height: total + 88 + titles, margin: { l: titles ? 150 : 96, r: 8, t: 52 + titles, b: 36 }, paper_bgcolor: color("page"), plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, color: color("ink"), size: 12 },
      hovermode: "x unified", hoversubplots: "axis", bargap: 0, barmode: "overlay", dragmode: "zoom",
      hoverlabel: { bgcolor: color("page"), bordercolor: color("rule"), font: { size: 12, color: color("ink") }, align: "left" },
      xaxis: { ...grid, range, anchor: axisOf(heights.length - 1), ticksuffix: " s", hoverformat: ".1f", zeroline: false,
               showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "solid", spikecolor: color("muted"), spikesnap: "cursor" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: color("muted"), activecolor: color("ink") },
      shapes: shading(data), annotations: names(data),
    };
    let top = total;
    heights.forEach((height, number) => {
      const domain = [(top - height) / total, top / total];
      const axis = axisOf(number).replace("y", "yaxis");
      result[axis] = { ...grid, domain, fixedrange: true, anchor: "x" };
      if (number < panels) panel(result, data.panels[number], axis, domain, number);
      top -= height + gaps[number];
    });
    const [phases, statements, waits] = [0, 1, 2].map((lane) => result[`yaxis${panels + 1 + lane}`]);
    Object.assign(result.yaxis, latencyAxis(data, latency));
    Object.assign(phases, { type: "category", showgrid: false, tickvals: ["phase"], ticktext: ["phase"] });
    Object.assign(statements, { type: "category", showgrid: false, categoryorder: "array", categoryarray: [...rows].reverse().map(plain),
      tickvals: rows.map(plain), ticktext: rows.map((row) => plain(row.length > longest ? `${row.slice(0, longest - 1)}…` : row)), showticklabels: rows.length <= 24 });
    if (waits) {
      result.xaxis2 = { ...result.xaxis, matches: "x" };
      Object.assign(result.xaxis, { anchor: axisOf(panels + 1), showticklabels: false });
      Object.assign(waits, { anchor: "x2", type: "linear", showgrid: false, zeroline: false,
        range: [data.waits.rows - 0.4, -0.6], tickvals: [(data.waits.rows - 1) / 2], ticktext: ["waits"] });
    }
    return result;
  }

  // Powers of ten, with 2 and 5 between them where the latencies span little.
  function latencyAxis(data, type) {
    const values = data.panels[0].lines.flatMap((line) => line.values).filter((value) => value > 0);
    const wide = values.reduce((a, b) => Math.max(a, b), 1e-3) > 100 * values.reduce((a, b) => Math.min(a, b), 1);
    const decades = [-5, -4, -3, -2, -1, 0, 1, 2, 3];
    const ticks = decades.flatMap((power) => (wide ? [1] : [1, 2, 5]).map((digit) => Number(`${digit}e${power}`)));
    const words = ticks.map((tick) => (tick < 1 ? `${Number((tick * 1000).toPrecision(1))} ms` : `${tick} s`));
    const axis = { type, autorange: true };
    return type === "log" ? { ...axis, tickmode: "array", tickvals: ticks, ticktext: words }
      : { ...axis, tickmode: "auto", tickformat: "~s", ticksuffix: "s" };
  }

  // A phase's name is drawn where it fits into its bar at the present zoom.
  function fitting(chart, bars) {
    const axis = chart._fullLayout.xaxis;
    const perSecond = axis._length / (axis.range[1] - axis.range[0]);
    return bars.map((bar) => (bar.end - bar.start) * perSecond > 7 * bar.label.length + 4 ? plain(bar.label) : "");
  }

  function panel(result, content, axis, domain, number) {
    Object.assign(result[axis], { rangemode: "tozero", nticks: number ? 4 : 8, zeroline: number > 0 });
    result.annotations.push({ text: `<b>${content.title}</b> ${content.unit}`, xref: "paper", yref: "paper", x: 0, y: domain[1],
      xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 12, color: color("muted") } });
    const beside = window.innerWidth > 736; // on a phone it would lie on the title
    result[legendOf(number)] = { orientation: "h", x: 1, xanchor: "right", y: domain[1], yanchor: beside ? "bottom" : "top", yref: "paper",
      bgcolor: "rgba(0,0,0,0)", font: { size: 11, color: color("muted") }, visible: content.lines.length > 1 };
  }

  function shading(data) {
    const across = { xref: "x", yref: "paper", y0: 0, y1: 1, layer: "below" };
    const windows = data.impact.map((bar) => ({ ...across, type: "rect", x0: bar.start, x1: bar.end, fillcolor: color("impact"), line: { width: 0 } }));
    const late = data.late.map((bar) => ({ ...across, type: "rect", x0: bar.start, x1: bar.end, fillcolor: color("late"), line: { width: 0 } }));
    const borders = data.phases.slice(1).map((bar) => ({ ...across, type: "line", x0: bar.start, x1: bar.start, line: { color: color("rule"), width: 1, dash: "dot" } }));
    const starts = data.migrations.map((bar) => ({ ...across, type: "line", x0: bar.start, x1: bar.start, line: { color: color("muted"), width: 1.5 } }));
    return [...windows, ...late, ...borders, ...starts];
  }

  // Of several migrations the name of each, over the line at which it begins, on three levels in turn.
  function names(data) {
    return data.migrations.map((bar, number) => ({ text: `▸ ${plain(bar.label)}`, xref: "x", yref: "paper", x: bar.start, y: 1, yshift: 22 + 16 * (number % 3),
      xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 12, color: color("ink") } }));
  }

  async function draw(data) {
    const chart = document.getElementById("chart");
    const rows = [...new Set(data.statements.map((bar) => bar.row))];
    const whole = [0, data.end];
    const near = data.impact.length ? [data.impact[0].start - 3, data.impact[data.impact.length - 1].end + 3] : whole;
    let latency = "log";
    let range = whole;
    const config = { displaylogo: false, responsive: true, doubleClick: "reset",
      modeBarButtons: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
      toImageButtonOptions: { format: "svg", filename: "timeline" } };
    const label = () => Plotly.restyle(chart, { text: [fitting(chart, data.phases)] }, [chart.data.findIndex((trace) => trace.name === "phase")]);
    const paint = async () => {
      const first = data.panels.length;
      const traces = [...lines(data), lane(data.phases, axisOf(first), "", "phase"), lane(data.statements, axisOf(first + 1), "lock-", "statement")];
      if (data.waits.rows) traces.push(waiting(data, axisOf(first + 2)));
      await Plotly.react(chart, traces, layout(data, rows, range, latency), config);
      await label();
    };
    const press = (on, off) => {
      document.getElementById(on).setAttribute("aria-pressed", "true");
      document.getElementById(off).setAttribute("aria-pressed", "false");
    };
    const button = (id, other, act) => document.getElementById(id).addEventListener("click", () => { act(); press(id, other); });
    const scale = (type) => { latency = type; range = [...chart.layout.xaxis.range]; return paint(); };
    const zoom = (to) => { range = [...to]; return paint(); };
    await paint();
    chart.on("plotly_relayout", label);
    if (data.waits.rows) pointing(chart, data);
    button("log", "linear", () => scale("log"));
    button("linear", "log", () => scale("linear"));
    button("focus", "whole", () => zoom(near));
    button("whole", "focus", () => zoom(whole));
    document.getElementById("tools").hidden = false;
    if (!data.impact.length) for (const id of ["focus", "whole"]) document.getElementById(id).remove();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  }
})();
