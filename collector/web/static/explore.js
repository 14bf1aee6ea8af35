/* Adds to each chart a button that draws it with Plotly, to be zoomed and read point by point. The charts are seen without it. */
"use strict";
(() => {
  const source = document.currentScript.dataset.plotly;
  let loading = null;
  const load = () => {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = source;
      // Plotly puts the style sheet of its maps into the page as it loads. We have no maps, and our policy would refuse it.
      const append = document.head.appendChild;
      document.head.appendChild = (node) => (node.nodeName === "STYLE" ? node : append.call(document.head, node));
      const done = (then) => () => { delete document.head.appendChild; then(); };
      script.onload = done(() => resolve(window.Plotly));
      script.onerror = done(() => reject(new Error("Plotly was not loaded")));
      document.head.append(script);
    });
    return loading;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const draw = async (figure, place) => {
    const [plotly, answer] = await Promise.all([load(), fetch(figure.dataset.from)]);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const chart = (await answer.json())[figure.dataset.chart];
    if (!chart) throw new Error("there is no such chart any more");
    const lines = chart.lines.map((line, number) => ({
      x: line.x, y: line.y, name: line.name, type: "scatter", mode: "lines+markers", connectgaps: false,
      marker: { size: 4 }, line: { width: 2, color: colour(`--series-${number % 6 + 1}`), shape: chart.is_step ? "hv" : "linear" },
    }));
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("--ink"), size: 13 },
      margin: { t: 20, r: 20, b: 50, l: 70 }, height: 380, legend: { orientation: "h" },
      xaxis: { title: { text: "UTC" }, gridcolor: colour("--rule") },
      yaxis: { title: { text: chart.unit }, type: chart.is_log ? "log" : "linear", gridcolor: colour("--rule") },
      shapes: [
        ...chart.marks.map((mark) => ({
          type: "line", xref: "paper", x0: 0, x1: 1, y0: mark.value, y1: mark.value,
          line: { color: colour("--bad-mark"), width: 2, dash: "dash" },
        })),
        ...chart.moments.map((one) => ({
          type: "line", yref: "paper", x0: one.at, x1: one.at, y0: 0, y1: 1,
          line: { color: colour(`--${one.tone}-mark`), width: 2, dash: "dot" },
        })),
      ],
      // Plotly reads markup in a text: a moment's is a number of ours, and what it stands for is in the list below.
      annotations: chart.moments.map((one) => ({
        x: one.at, y: 1, yref: "paper", yanchor: "bottom", showarrow: false, text: String(Number(one.label)),
      })),
    };
    await plotly.newPlot(place, lines, layout, { responsive: true, displaylogo: false, displayModeBar: false });
  };
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Look closer";
    button.addEventListener("click", async () => {
      button.disabled = true;
      const place = document.createElement("div");
      place.className = "explored";
      try {
        figure.querySelector(".scroll").after(place);
        await draw(figure, place);
        figure.querySelector(".scroll").hidden = true;
        button.remove();
      } catch (error) {
        place.textContent = `It could not be drawn: ${error.message}`;
        button.disabled = false;
      }
    });
    figure.querySelector("figcaption").append(" ", button);
  }
})();
