package main

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// series is what was measured as something grew.
type series plotter.XYs

func (s *series) add(x, y float64) { *s = append(*s, plotter.XY{X: x, Y: y}) }

// quantile is of y: 0.5 is the median, 1 the maximum.
func (s series) quantile(q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	values := make([]float64, len(s))
	for i, p := range s {
		values[i] = p.Y
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

// spread is the median with the quartiles, each written by verb.
func (s series) spread(verb string) string {
	return fmt.Sprintf(verb+" ("+verb+" to "+verb+")", s.quantile(0.5), s.quantile(0.25), s.quantile(0.75))
}

// smooth is the medians of n at a time.
func (s series) smooth(n int) (medians series) {
	for part := range slices.Chunk(s, n) {
		medians.add(part[len(part)/2].X, part.quantile(0.5))
	}
	return medians
}

// slope is what one more of x costs, by least squares.
func (s series) slope() float64 {
	var mx, my, xy, xx float64
	for _, p := range s {
		mx += p.X / float64(len(s))
		my += p.Y / float64(len(s))
	}
	for _, p := range s {
		xy += (p.X - mx) * (p.Y - my)
		xx += (p.X - mx) * (p.X - mx)
	}
	return xy / xx
}

type named struct {
	name string
	series
}

type chart struct {
	title, x, y string
	series      []named
}

// plots draws charts side by side into one file of the folder.
func plots(folder, name string, charts ...chart) error {
	if folder == "" {
		return nil
	}
	const width, height, margin = 9 * vg.Centimeter, 6 * vg.Centimeter, vg.Centimeter / 2
	canvas := vgsvg.New(width*vg.Length(len(charts)), height)
	for i, c := range charts {
		p := plot.New()
		p.BackgroundColor = color.White
		p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.title, c.x, c.y
		p.Y.Min, p.X.Min = 0, 0
		p.Add(plotter.NewGrid())
		for j, s := range c.series {
			l, dots, err := plotter.NewLinePoints(plotter.XYs(s.series))
			if err != nil {
				return fmt.Errorf("plot %s: %w", c.title, err)
			}
			l.Color = colors[j%len(colors)]
			dots.Color, dots.Shape, dots.Radius = l.Color, draw.CircleGlyph{}, vg.Points(1.5)
			p.Add(l, dots)
			if len(c.series) > 1 {
				p.Legend.Add(s.name, l)
				p.Legend.Top, p.Legend.Left = true, true
			}
		}
		if len(c.series) > 1 {
			p.Y.Max *= 1.5 // for the legend
		}
		left := width * vg.Length(i)
		p.Draw(draw.Crop(draw.New(canvas), left, left-width*vg.Length(len(charts)-1)-margin, 0, 0))
	}
	file, err := os.Create(filepath.Join(folder, name+".svg"))
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(file); err != nil {
		return fmt.Errorf("plot %s: %w", name, err)
	}
	return file.Close()
}

var colors = []color.Color{color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}, color.RGBA{R: 0xd6, G: 0x27, B: 0x28, A: 0xff}, color.RGBA{R: 0x2c, G: 0xa0, B: 0x2c, A: 0xff}}
