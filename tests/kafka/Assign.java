import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.consumer.internals.AbstractPartitionAssignor;
import org.apache.kafka.common.TopicPartition;

/**
 * Asks the assignors of Kafka's client. Cases on standard input:
 *
 *   topic NAME COUNT                          a topic that exists and has subscribers
 *   member ID GENERATION TOPICS OWNED         TOPICS: a,b or -   OWNED: a:0,b:1 or -   GENERATION: -1 for none
 *   go                                        the end of the case
 *
 * Answers, four lines per case, members by id and partitions sorted:
 *
 *   range a=t:0,t:1 b=-
 *   roundrobin ...
 *   sticky ...                                the final assignment
 *   cooperative-sticky ...                    of one round
 *
 * or NAME failed, where the assignor threw an exception.
 */
public class Assign {
    /** The eager assignor wants claims inside its own user data; here they come as the cooperative one takes them. */
    static class Sticky extends StickyAssignor {
        @Override
        protected MemberData memberData(Subscription subscription) {
            return new MemberData(subscription.ownedPartitions(), subscription.generationId());
        }
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        PrintStream out = new PrintStream(System.out, false);
        Map<String, Integer> topics = new TreeMap<>();
        Map<String, String[]> members = new TreeMap<>();
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "topic" -> topics.put(words[1], Integer.valueOf(words[2]));
                case "member" -> members.put(words[1], words);
                case "go" -> {
                    answer(out, new RangeAssignor(), topics, members);
                    answer(out, new RoundRobinAssignor(), topics, members);
                    answer(out, new Sticky(), topics, members);
                    answer(out, new CooperativeStickyAssignor(), topics, members);
                    topics.clear();
                    members.clear();
                }
                default -> throw new IllegalArgumentException(line);
            }
        }
        out.flush();
    }

    static void answer(PrintStream out, AbstractPartitionAssignor assignor, Map<String, Integer> topics,
                       Map<String, String[]> members) {
        Map<String, Subscription> subscriptions = new TreeMap<>();
        members.forEach((id, words) -> subscriptions.put(id, new Subscription(
            list(words[3]), null, partitions(words[4]), Integer.parseInt(words[2]), Optional.empty())));
        // Some of them change what they are given.
        Map<String, List<TopicPartition>> result;
        try {
            result = assignor.assign(new TreeMap<>(topics), subscriptions);
        } catch (RuntimeException failed) {
            out.println(assignor.name() + " failed");
            return;
        }
        StringBuilder line = new StringBuilder(assignor.name());
        for (String id : members.keySet()) {
            List<TopicPartition> list = new ArrayList<>(result.getOrDefault(id, List.of()));
            list.sort(Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition));
            List<String> texts = new ArrayList<>();
            list.forEach(one -> texts.add(one.topic() + ":" + one.partition()));
            line.append(' ').append(id).append('=').append(texts.isEmpty() ? "-" : String.join(",", texts));
        }
        out.println(line);
    }

    static List<String> list(String word) {
        return word.equals("-") ? Collections.emptyList() : List.of(word.split(","));
    }

    static List<TopicPartition> partitions(String word) {
        List<TopicPartition> found = new ArrayList<>();
        for (String one : list(word)) {
            String[] parts = one.split(":");
            found.add(new TopicPartition(parts[0], Integer.parseInt(parts[1])));
        }
        return found;
    }
}
