//! As much of SVG as a plot takes: text, lines and boxes, with colours by class that change with the reader's scheme.

use std::fmt::Display;

/// Where text begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture while it is drawn. Lengths are in pixels, from the upper left.
#[derive(Debug)]
pub(crate) struct Svg {
    width: f64,
    height: f64,
    title: String,
    description: String,
    style: &'static str,
    body: String,
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A length, as short as it can be told.
fn px(length: f64) -> String {
    let text = format!("{length:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

impl Svg {
    /// Title and description are what is read to who does not see it; the style is CSS.
    pub(crate) fn new(width: f64, height: f64, title: &str, description: &str, style: &'static str) -> Self {
        let (title, description) = (escape(title), escape(description));
        Self { width, height, title, description, style, body: String::new() }
    }

    fn element(&mut self, name: &str, attributes: &[(&str, &dyn Display)]) {
        let attributes: String = attributes
            .iter()
            .map(|(key, value)| format!(" {key}=\"{}\"", escape(&value.to_string())))
            .collect();
        self.body.push_str(&format!("<{name}{attributes}/>\n"));
    }

    pub(crate) fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let [x, y, width, height] = [x, y, width, height].map(px);
        self.element(
            "rect",
            &[("class", &class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)],
        );
    }

    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.path(class, &[from, to]);
    }

    pub(crate) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", px(*x), px(*y))).collect();
        self.element("polyline", &[("class", &class), ("points", &points.join(" "))]);
    }

    pub(crate) fn polygon(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", px(*x), px(*y))).collect();
        self.element("polygon", &[("class", &class), ("points", &points.join(" "))]);
    }

    pub(crate) fn text(&mut self, class: &str, anchor: Anchor, (x, y): (f64, f64), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, text) = (px(x), px(y), escape(text));
        let tag =
            format!("<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y}\">{text}</text>\n");
        self.body.push_str(&tag);
    }

    /// All of it.
    pub(crate) fn finish(self) -> String {
        let Self { width, height, title, description, style, body } = self;
        let (width, height) = (px(width), px(height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"title description\" \
             width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
             <title id=\"title\">{title}</title>\n<desc id=\"description\">{description}</desc>\n\
             <style>\n{style}</style>\n{body}</svg>\n"
        )
    }
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that four steps of reach `max`; one if there is nothing to reach.
pub(crate) fn step(max: f64) -> f64 {
    const STEPS: f64 = 4.0;
    if !max.is_finite() || max <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf((max / STEPS).log10().floor());
    let nice = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    nice.into_iter().find(|step| step * STEPS >= max).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_in_the_picture_and_no_text_ends_its_element() {
        let mut svg = Svg::new(10.0, 5.5, "a <b>", "c & d", ".ink { fill: #000 }\n");
        svg.rect("ink", (1.0, 2.25), (3.0, 4.0));
        svg.text("ink", Anchor::End, (0.0, 1.0), "</text>\"");
        let text = svg.finish();
        assert!(text.contains("viewBox=\"0 0 10 5.5\"") && text.contains("a &lt;b&gt;"), "{text}");
        assert!(text.contains("<rect class=\"ink\" x=\"1\" y=\"2.2\" width=\"3\" height=\"4\"/>"), "{text}");
        assert!(text.contains(">&lt;/text&gt;&quot;</text>"), "{text}");
        assert_eq!(text.matches("<text").count(), 1);
    }

    #[test]
    fn four_steps_reach_the_greatest() {
        let steps = [3.9, 4.0, 4.1, 9.0, 39.0, 1800.0, 0.0].map(step);
        assert_eq!(steps, [1.0, 1.0, 2.0, 2.5, 10.0, 500.0, 1.0]);
    }
}
