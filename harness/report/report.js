"use strict";
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

  function lines(data) {
    const dashes = { max: "dot", rate: "dot" };
    return data.panels.flatMap((panel, number) => panel.lines.map((line) => ({
      type: "scatter", mode: "lines+markers", name: line.name, x: data.t, y: line.values,
      yaxis: `y${number + 1}`, connectgaps: false, legend: legendOf(number),
      line: { color: color(line.style), width: line.style === "p95" || line.style === "throughput" ? 2 : 1.4,
              dash: dashes[line.style] || "solid", shape: number ? "hv" : "linear" },
      marker: { size: 3 },
      fill: line.style === "errors" ? "tozeroy" : "none",
      hovertemplate: number ? "%{y:.3~g}/s" : "%{y:.3~s}s",
    })));
  }

  function lane(bars, axis, prefix, name) {
    return {
      type: "bar", orientation: "h", name, yaxis: axis, showlegend: false,
      base: bars.map((bar) => bar.start), x: bars.map((bar) => bar.end - bar.start), y: bars.map((bar) => plain(bar.row)),
      width: 0.8,
      marker: { color: bars.map((bar) => color(prefix + bar.style)), line: { width: 1.5, color: bars.map((bar) => color(prefix + bar.style)) } },
      textposition: "inside", insidetextanchor: "middle", textangle: 0, constraintext: "none",
      textfont: { color: color("ink"), size: 11 },
      customdata: bars.map((bar) => [bar.label, ...bar.details].map(plain).join("<br>")),
      hovertemplate: "%{customdata}<extra></extra>",
    };
  }

  function layout(data, rows, range, latency) {
    const laneHeight = rows.length > 12 ? 312 / rows.length : 26;
    const heights = [250, 120, 80, 32, Math.max(1, rows.length) * laneHeight + 6];
    const gaps = [34, 34, 20, 8];
    const total = [...heights, ...gaps].reduce((a, b) => a + b, 0);
    const grid = { gridcolor: color("rule"), zerolinecolor: color("rule"), linecolor: color("rule"), tickfont: { color: color("muted"), size: 11 } };
    const result = {
      height: total + 88, margin: { l: 96, r: 8, t: 52, b: 36 }, paper_bgcolor: color("page"), plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, color: color("ink"), size: 12 },
      hovermode: "x unified", hoversubplots: "axis", bargap: 0, barmode: "overlay", dragmode: "zoom",
      hoverlabel: { bgcolor: color("page"), bordercolor: color("rule"), font: { size: 12, color: color("ink") }, align: "left" },
      xaxis: { ...grid, range, anchor: "y5", ticksuffix: " s", hoverformat: ".1f", zeroline: false,
               showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "solid", spikecolor: color("muted"), spikesnap: "cursor" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: color("muted"), activecolor: color("ink") },
      shapes: shading(data), annotations: [],
    };
    let top = total;
    heights.forEach((height, number) => {
      const domain = [(top - height) / total, top / total];
      const axis = number ? `yaxis${number + 1}` : "yaxis";
      result[axis] = { ...grid, domain, fixedrange: true, anchor: "x" };
      if (number < 3) panel(result, data.panels[number], axis, domain, number);
      top -= height + (gaps[number] || 0);
    });
    Object.assign(result.yaxis, latencyAxis(data, latency));
    Object.assign(result.yaxis4, { type: "category", showgrid: false, tickvals: ["phase"], ticktext: ["phase"] });
    Object.assign(result.yaxis5, { type: "category", showgrid: false, categoryorder: "array", categoryarray: [...rows].reverse().map(plain),
      tickvals: rows.map(plain), ticktext: rows.map((row) => plain(row.length > 13 ? `${row.slice(0, 12)}…` : row)), showticklabels: rows.length <= 24 });
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
    result[legendOf(number)] = { orientation: "h", x: 1, xanchor: "right", y: domain[1], yanchor: "bottom", yref: "paper",
      bgcolor: "rgba(0,0,0,0)", font: { size: 11, color: color("muted") }, visible: content.lines.length > 1 };
  }

  function shading(data) {
    const across = { xref: "x", yref: "paper", y0: 0, y1: 1, layer: "below" };
    const windows = data.impact.map((bar) => ({ ...across, type: "rect", x0: bar.start, x1: bar.end, fillcolor: color("impact"), line: { width: 0 } }));
    const borders = data.phases.slice(1).map((bar) => ({ ...across, type: "line", x0: bar.start, x1: bar.start, line: { color: color("rule"), width: 1, dash: "dot" } }));
    return [...windows, ...borders];
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
    const label = () => Plotly.restyle(chart, { text: [fitting(chart, data.phases)] }, [chart.data.length - 2]);
    const paint = async () => {
      const traces = [...lines(data), lane(data.phases, "y4", "", "phase"), lane(data.statements, "y5", "lock-", "statement")];
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
    button("log", "linear", () => scale("log"));
    button("linear", "log", () => scale("linear"));
    button("focus", "whole", () => zoom(near));
    button("whole", "focus", () => zoom(whole));
    document.getElementById("tools").hidden = false;
    if (!data.impact.length) for (const id of ["focus", "whole"]) document.getElementById(id).remove();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  }
})();
