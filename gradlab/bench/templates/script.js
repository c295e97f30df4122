"use strict";
(() => {
  const body = document.body;
  const colors = JSON.parse(document.getElementById("colors").textContent);
  const swap = new Map(Object.keys(colors.light).map((n) => [colors.light[n], colors.dark[n]]));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const fine = matchMedia("(pointer: fine)");
  const charts = [...document.querySelectorAll(".plot")].map((place) => {
    const source = place.querySelector("script").textContent;
    const frame = place.appendChild(document.createElement("div"));
    return { place, frame, source, measure: "steps" };
  });

  const spec = (chart) => {
    const themed = (found) => (dark.matches && swap.get(found)) || found;
    return JSON.parse(chart.source.replace(/#[0-9a-f]{6}/g, themed));
  };
  // What depends on the room that there is: columns of panels, and where the names stand.
  const fitted = (layout, width) => {
    const panels = layout.meta.panels;
    if (panels) {
      const columns = Math.max(1, Math.min(panels.count, Math.floor(width / panels.width)));
      const rows = Math.ceil(panels.count / columns);
      Object.assign(layout.grid, { rows, columns });
      layout.height = rows * panels.height;
    }
    if (layout.legend && width < 640) {
      Object.assign(layout.legend, { orientation: "h", x: 0, y: -0.16, yanchor: "top" });
    }
    return layout;
  };
  const measured = (figure, measure) => {
    if (!figure.layout.meta.measures) return figure;
    figure.layout.xaxis.title.text = figure.layout.meta.measures[measure];
    for (const trace of figure.data) {
      const unit = trace.meta[measure];
      trace.x = unit === null ? [] : trace.x.map((x) => x * unit);
    }
    return figure;
  };
  const draw = (chart) => {
    const figure = measured(spec(chart), chart.measure);
    const width = chart.place.clientWidth;
    chart.width = width;
    const layout = { ...fitted(figure.layout, width), width };
    chart.place.style.minHeight = `${layout.height}px`;
    const config = { displayModeBar: false, doubleClick: "reset" };
    if (fine.matches) layout.dragmode = "zoom";
    return Plotly.react(chart.frame, figure.data, layout, config);
  };

  let held = null;
  const show = (place) => {
    if (place === null) delete body.dataset.focus;
    else body.dataset.focus = place;
  };
  const hold = (place) => {
    held = held === place ? null : place;
    for (const button of document.querySelectorAll(".legend button")) {
      button.setAttribute("aria-pressed", String(button.dataset.place === held));
    }
    show(held);
  };
  for (const button of document.querySelectorAll(".legend button")) {
    const place = button.dataset.place;
    button.addEventListener("mouseenter", () => show(place));
    button.addEventListener("mouseleave", () => show(held));
    button.addEventListener("click", () => hold(place));
  }
  for (const tabs of document.querySelectorAll(".curves .tabs")) {
    const chart = charts.find((each) => tabs.parentElement.contains(each.place));
    const buttons = [...tabs.querySelectorAll("button")];
    for (const button of buttons) {
      button.addEventListener("click", () => {
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        chart.measure = button.dataset.measure;
        draw(chart);
      });
    }
  }

  const start = async () => {
    for (const chart of charts) {
      await draw(chart);
      chart.frame.on("plotly_legendclick", (event) => {
        hold(event.data[event.curveNumber].uid.match(/\d+/)[0]);
        return false;
      });
    }
    dark.addEventListener("change", () => charts.forEach(draw));
    const resize = new ResizeObserver(() => {
      for (const chart of charts) if (chart.place.clientWidth !== chart.width) draw(chart);
    });
    resize.observe(document.querySelector("main"));
    body.dataset.ready = "yes";
  };
  start();
})();
