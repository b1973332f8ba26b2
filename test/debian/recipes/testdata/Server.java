import java.io.*;
import java.net.*;
import java.nio.channels.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.concurrent.*;

/** A server for the JVM, of HTTP as far as it is asked for here. The file "version" is the release's. */
public class Server {
    static String version;
    static final ExecutorService connections = Executors.newCachedThreadPool();
    static volatile boolean ending;

    public static void main(String[] args) throws Exception {
        version = Files.readString(Path.of("version"));
        ServerSocketChannel listener = (ServerSocketChannel) System.inheritedChannel(); // descriptor 0, if that is a listening socket
        if (listener == null) {
            listener = ServerSocketChannel.open().bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
        }
        Selector selector = Selector.open();
        listener.configureBlocking(false); // another process takes from the same queue: one that blocks in accept would not hear SIGTERM
        listener.register(selector, SelectionKey.OP_ACCEPT);
        Thread accepting = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            ending = true;
            selector.wakeup();
            try {
                accepting.join(); // what it has accepted is answered
                connections.shutdown();
                connections.awaitTermination(20, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                // the JVM ends anyway
            }
            Runtime.getRuntime().halt(0); // else it would end with 143, as if it had been killed
        }));
        while (!ending) {
            selector.select();
            selector.selectedKeys().clear();
            SocketChannel accepted = ending ? null : listener.accept();
            if (accepted != null) {
                connections.execute(() -> serve(accepted.socket()));
            }
        }
    }

    static void serve(Socket socket) {
        try (socket) {
            socket.setTcpNoDelay(true);
            PushbackInputStream bytes = new PushbackInputStream(socket.getInputStream());
            for (boolean last = false, asked = false; !last; asked = true) {
                socket.setSoTimeout(asked ? 100 : 2_000); // who has connected is about to ask
                int first = -2;
                while (first == -2) {
                    try {
                        first = bytes.read();
                    } catch (SocketTimeoutException e) {
                        if (ending) {
                            return; // it is idle
                        }
                    }
                }
                if (first == -1) {
                    return;
                }
                bytes.unread(first);
                socket.setSoTimeout(30_000);
                last = answer(bytes, socket.getOutputStream());
            }
        } catch (Exception e) {
            // the client has gone
        }
    }

    static boolean answer(InputStream in, OutputStream out) throws Exception {
        String request = line(in);
        boolean last = false;
        for (String line = line(in); !line.isEmpty(); line = line(in)) {
            last |= line.equalsIgnoreCase("Connection: close");
        }
        URI target = new URI(request.split(" ")[1]);
        String id = parameter(target, "id");
        if (target.getPath().equals("/slow")) {
            Thread.sleep(Long.parseLong(parameter(target, "ms")));
        }
        last |= ending;
        String body = id + " " + ProcessHandle.current().pid() + " " + version + "\n";
        out.write(("HTTP/1.1 200 OK\r\nContent-Length: " + body.length() + "\r\n" + (last ? "Connection: close\r\n" : "") + "\r\n" + body)
            .getBytes(StandardCharsets.US_ASCII));
        return last;
    }

    static String line(InputStream in) throws IOException {
        StringBuilder line = new StringBuilder();
        for (int c = in.read(); c != '\n'; c = in.read()) {
            if (c == -1) {
                throw new EOFException();
            }
            if (c != '\r') {
                line.append((char) c);
            }
        }
        return line.toString();
    }

    static String parameter(URI target, String name) {
        for (String p : (target.getQuery() == null ? "" : target.getQuery()).split("&")) {
            if (p.startsWith(name + "=")) {
                return p.substring(name.length() + 1);
            }
        }
        return "";
    }
}
