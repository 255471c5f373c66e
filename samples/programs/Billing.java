import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.logging.FileHandler;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;

/** A billing run on a few threads, as an origin of java.util.logging's two-line records and Java's stack traces. */
public class Billing {
    private static final Logger LOG = Logger.getLogger(Billing.class.getName());

    static class Invoice {
        final long id;
        final int customer;
        final byte[] pages;

        Invoice(long id, int customer, int bytes) {
            this.id = id;
            this.customer = customer;
            this.pages = new byte[bytes];
        }
    }

    static class RenderException extends RuntimeException {
        RenderException(String message, Throwable cause) {
            super(message, cause);
        }
    }

    static void fetch(Random random, Invoice invoice) throws IOException {
        if (random.nextInt(60) == 0) {
            throw new IOException("connection reset by 127.0.0.1:" + (5400 + random.nextInt(9)));
        }
    }

    static void render(Random random, Invoice invoice) {
        try {
            fetch(random, invoice);
        } catch (IOException e) {
            throw new RenderException("invoice " + invoice.id + " of customer " + invoice.customer, e);
        }
    }

    static void run(int worker, int count) {
        Random random = new Random(worker);
        List<Invoice> kept = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            Invoice invoice = new Invoice(20260000L + (long) worker * count + i, 1000 + random.nextInt(9000), 2000 + random.nextInt(60000));
            long begin = System.nanoTime();
            try {
                render(random, invoice);
                kept.add(invoice);
                LOG.log(Level.INFO, "invoice {0} for customer {1}: {2} bytes in {3} us",
                        new Object[] {String.valueOf(invoice.id), String.valueOf(invoice.customer), invoice.pages.length,
                                      String.valueOf((System.nanoTime() - begin) / 1000)});
            } catch (RenderException e) {
                LOG.log(Level.SEVERE, "rendering failed, will retry", e);
            }
            if (kept.size() > 400) {
                LOG.log(Level.FINE, "worker {0} sends a batch of {1} invoices", new Object[] {worker, kept.size()});
                kept.clear();
            }
            if (random.nextInt(200) == 0) {
                LOG.log(Level.WARNING, "worker {0} is {1} invoices behind", new Object[] {worker, random.nextInt(500)});
            }
        }
    }

    public static void main(String[] args) throws Exception {
        FileHandler handler = new FileHandler(args[0]);
        handler.setFormatter(new SimpleFormatter());
        LOG.addHandler(handler);
        LOG.setUseParentHandlers(false);
        LOG.setLevel(Level.FINE);
        handler.setLevel(Level.FINE);
        ExecutorService pool = Executors.newFixedThreadPool(4);
        for (int i = 0; i < 4; i++) {
            int worker = i;
            pool.submit(() -> run(worker, Integer.parseInt(args[1])));
        }
        pool.shutdown();
        pool.awaitTermination(5, TimeUnit.MINUTES);
        LOG.info("billing run ends");
    }
}
