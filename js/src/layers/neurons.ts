// The panel of neurons. Twin: jtviz/views/layer_panels/neurons.py.

import { h } from "../core/dom";
import type { Panel } from "./scene";

export const neurons: Panel = () => h("div", { class: "panel-neurons" });
