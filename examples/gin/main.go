// Command gin is a Gin engine that is replaced without its clients noticing: four calls stand where engine.Run stood.
package main

import (
	"cmp"
	"context"
	"log"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"

	"github.com/handover-go/handover"
)

// build is set by: go build -ldflags "-X main.build=v2"
var build = "dev"

func main() {
	gin.SetMode(gin.ReleaseMode)
	if err := serve(context.Background(), cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080")); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, address string) error {
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		return err
	}
	engine := gin.New()
	engine.Use(gin.Recovery())
	engine.GET("/", func(c *gin.Context) {
		c.String(http.StatusOK, "build %s generation %d pid %d\n", build, p.Generation(), os.Getpid())
	})

	ln, err := p.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if err := p.Attach(&http.Server{Handler: engine}, ln); err != nil {
		return err
	}
	return p.Run(ctx)
}
