/* SPDX-License-Identifier: MIT */
/*
 * Scratches and text, drawn with strokes of our own so that the demo depends on no font and looks the same everywhere.
 */
#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "demo.h"

/* Letters as polylines on a grid of 4 by 6, "xy xy xy/xy xy"; y counts downwards. */
static const char *glyph(char c)
{
    static const struct {
        char c;
        const char *strokes;
    } font[] = {
        {'A', "06 20 46/14 34"},
        {'C', "41 30 10 01 05 16 36 45"},
        {'D', "06 00 30 41 45 36 06"},
        {'E', "40 00 06 46/03 33"},
        {'H', "00 06/40 46/03 43"},
        {'I', "20 26"},
        {'L', "00 06 46"},
        {'M', "06 00 23 40 46"},
        {'N', "06 00 46 40"},
        {'O', "10 30 41 45 36 16 05 01 10"},
        {'P', "06 00 30 41 42 33 03"},
        {'R', "06 00 30 41 42 33 03/23 46"},
        {'S', "41 30 10 01 02 13 33 44 45 36 16 05"},
        {'T', "00 40/20 26"},
        {'V', "00 26 40"},
        {'X', "00 46/40 06"},
    };

    for (size_t i = 0; i < sizeof font / sizeof *font; i++)
        if (font[i].c == c)
            return font[i].strokes;
    return "";
}

typedef struct canvas {
    float *m;
    size_t h, w;
} canvas;

/* A round-ended line: every pixel whose centre is within `radius` of the segment. */
static void line(canvas *c, double x0, double y0, double x1, double y1, double radius)
{
    double dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy;
    double top = floor(fmin(y0, y1) - radius), bottom = ceil(fmax(y0, y1) + radius);
    double left = floor(fmin(x0, x1) - radius), right = ceil(fmax(x0, x1) + radius);

    for (double y = fmax(top, 0); y <= fmin(bottom, (double)c->h - 1); y++)
        for (double x = fmax(left, 0); x <= fmin(right, (double)c->w - 1); x++) {
            double t = length2 > 0 ? ((x - x0) * dx + (y - y0) * dy) / length2 : 0;

            t = fmin(fmax(t, 0), 1);
            if (hypot(x - x0 - t * dx, y - y0 - t * dy) <= radius)
                c->m[(size_t)y * c->w + (size_t)x] = 1;
        }
}

/* text with its top left corner at x, y; unit is a grid step of the letters, which are 6 units apart. */
static void write_text(canvas *c, const char *text, double x, double y, double unit, double radius)
{
    for (; *text; text++, x += 6 * unit) {
        double px = 0, py = 0;
        bool down = false;

        for (const char *g = glyph(*text); *g; g++) {
            if (isdigit((unsigned char)g[0]) && isdigit((unsigned char)g[1])) {
                double gx = x + unit * (g[0] - '0'), gy = y + unit * (g[1] - '0');

                if (down)
                    line(c, px, py, gx, gy, radius);
                px = gx, py = gy;
                down = true;
                g++;
            } else if (*g == '/') {
                down = false;
            }
        }
    }
}

static double uniform(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u; /* Numerical Recipes' generator: the drawing needs no better */
    return (double)(*state >> 8) / 16777216.0;
}

/* A scratch wanders from one edge to the other, its direction changing a little at each step. */
static void scratch(canvas *c, uint32_t *state, bool downwards, double radius)
{
    double along = (double)(downwards ? c->h : c->w), across = (double)(downwards ? c->w : c->h);
    double at = across * (0.08 + 0.84 * uniform(state)), slope = uniform(state) - 0.5, step = along / 24;

    for (double s = 0; s < along; s += step) {
        double next = at + slope * step;

        if (downwards)
            line(c, at, s, next, s + step, radius);
        else
            line(c, s, at, s + step, next, radius);
        at = next;
        slope += 0.5 * (uniform(state) - 0.5) - 0.05 * slope;
    }
}

void demo_draw_mask(float *m, size_t h, size_t w)
{
    static const char text[] = "REMOVE THIS TEXT";
    canvas c = {m, h, w};
    uint32_t state = 7;
    double unit = 0.88 * (double)w / (6.0 * (double)(sizeof text - 1) - 2), stroke = fmax(0.42 * unit, 0.6);

    for (size_t i = 0; i < h * w; i++)
        m[i] = -1;
    write_text(&c, text, 0.06 * (double)w, 0.62 * (double)h - 3 * unit, unit, stroke);
    for (int i = 0; i < 4; i++)
        scratch(&c, &state, true, fmax(0.0022 * (double)w * (0.7 + uniform(&state)), 0.5));
    for (int i = 0; i < 3; i++)
        scratch(&c, &state, false, fmax(0.0022 * (double)w * (0.7 + uniform(&state)), 0.5));
}
