"""What tests ask of pages."""

from html.parser import HTMLParser


class Elements(HTMLParser):
    """All elements with their attributes, and all text."""

    def __init__(self, html):
        super().__init__()
        self.found, self.text = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def values(self, attribute):
        return [attributes[attribute] for _, attributes in self.found if attribute in attributes]


CONTRAST = """(() => {
    const light = color => {
        const parts = color.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255);
        const [r, g, b] = parts.map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = element => {
        const color = getComputedStyle(element).backgroundColor;
        return color === 'rgba(0, 0, 0, 0)' ? ground(element.parentElement) : color;
    };
    const contrast = element => {
        const { color, fill } = getComputedStyle(element);
        const ink = element instanceof SVGElement ? fill : color;
        const [less, more] = [ink, ground(element)].map(light).sort((a, b) => a - b);
        return (more + 0.05) / (less + 0.05);
    };
    const text = 'p, a, th, td, li, button, h1, h2, h3, h2 span, p span, .methods span, figcaption, code, .xtick text';
    return Math.min(...[...document.querySelectorAll(text)].filter(element => element.checkVisibility()).map(contrast));
})()"""
"""The least of any text with what is behind it, by WCAG's formula; 4.5 can be read."""

PAPER_IS_DARK = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]) < 128"
